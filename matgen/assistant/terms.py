"""Index terms of a text: word stems, and materials as formula and chemical-system terms."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from matgen.assistant.materials import ELEMENTS, element_names, find_materials, systems
from matgen.assistant.notation import readable
from matgen.runtime import require

WORDS: dict[str, Any] = json.loads(
    resources.files("matgen.assistant").joinpath("data", "words.json").read_text(encoding="utf-8")
)
STOPWORDS, ASKING = frozenset(WORDS["stopwords"]), frozenset(WORDS["asking"])
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_BANDGAP = re.compile(r"\b(band)-?(gaps?)\b", re.IGNORECASE)
_SYMBOL_NAMES = {symbol: name for name, symbol in element_names().items()}


@cache
def stemmer() -> Any:
    """Snowball's stemmer of English."""
    return require("Stemmer", "assistant").Stemmer("english")


def stems(text: str) -> list[str]:
    """Stems of the words of a text, in order, without stop words; hyphenated words also count in parts."""
    words: list[str] = []
    for word in _WORD.findall(_BANDGAP.sub(r"\1 \2", readable(text))):
        plain = word.replace("’", "'").removesuffix("'s").lower()
        words.append(plain)
        if "-" in plain:
            words += plain.split("-")
    kept = [w for w in words if w not in STOPWORDS and (len(w) > 1 or w.isdigit())]
    return list(stemmer().stemWords(kept))


def terms(text: str) -> list[str]:
    """Stems, and for each material ``f:<formula>`` and ``s:<system>``, so that SrTiO3 finds strontium titanate."""
    found = stems(text)
    for material in find_materials(text):
        found += [f"f:{material.formula}"] * bool(material.formula) + [f"s:{material.system}"]
    found += [f"s:{system}" for system in systems(text)]
    found += stemmer().stemWords([_SYMBOL_NAMES[w] for w in re.findall(r"\b[A-Z][a-z]?\b", text) if _is_element(w)])
    return found


def asked(question: str) -> list[str]:
    """Terms that carry the meaning of a question: without the words of asking."""
    return [term for term in dict.fromkeys(terms(question)) if term not in _asking()]


def speaks_of(term: str, around: set[str]) -> bool:
    """Whether a text with the given terms has a term or one that speaks of the same thing."""
    return term in around or any(other in around for other in WORDS["related"].get(term, ()))


@cache
def _asking() -> frozenset[str]:
    return frozenset(stemmer().stemWords(sorted(ASKING)))


def _is_element(word: str) -> bool:
    return word in ELEMENTS and word not in {"I", "In", "As", "At", "Be", "He", "K", "V", "C", "N", "W", "S", "P", "B"}
