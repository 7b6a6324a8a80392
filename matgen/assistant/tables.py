"""Questions that a table answers: properties of the elements, and what the named rules and constraints of matgen say.

The rows are sentences with their source, so that an answer from a table is cited and verified like any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matgen.assistant.asking import finish
from matgen.assistant.document import Answer, Citation, Document, Passage
from matgen.assistant.materials import ELEMENTS, element_names
from matgen.assistant.safety_words import hazards
from matgen.assistant.verification import check
from matgen.registry import summary

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "Table of the elements in pymatgen"
ASKED = re.compile(r"\b(?:what|which|how|list|give|tell|is|are|does)\b", re.IGNORECASE)
"""A question to a table begins like one; anything longer than :data:`WORDS` words is a question to the literature."""
WORDS = 14


def ask_tables(question: str) -> Answer | None:
    """Answer a question about a property of one or a few elements or about a constraint; None where it is neither."""
    if len(question.split()) > WORDS or not ASKED.search(question):
        return None
    passages = _elements(question) or _rules(question)
    if not passages:
        return None
    citations = [Citation.of(label, p) for label, p in enumerate(passages, start=1)]
    trace = [{"step": "look up", "rows": [c.document for c in citations]}]
    return finish(check([(c.passage, (c.label,)) for c in citations], citations), citations, 1.0, trace)


def _elements(question: str) -> list[Passage]:
    found = [tell for pattern, tell in PROPERTIES if re.search(pattern, question, re.IGNORECASE)]
    symbols = _named_elements(question)
    if len(found) != 1 or not symbols:
        return []
    return [_row(f"element:{s}", SOURCE, text) for s in symbols if (text := found[0](s))]


def _named_elements(question: str) -> list[str]:
    """Elements named by symbol or word; a formula among the words makes it a question about a compound."""
    names = {name.lower(): symbol for name, symbol in element_names().items()}
    symbols = []
    for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", question):
        if word in ELEMENTS and word not in {"I", "In", "As", "At", "He", "No", "Be"}:
            symbols.append(word)
        elif word.lower() in names:
            symbols.append(names[word.lower()])
        elif re.fullmatch(r"(?:[A-Z][a-z]?\d*){2,}", word) and any(c.isdigit() for c in word):
            return []
    return list(dict.fromkeys(symbols))


def _oxidation(symbol: str) -> str:
    states = [f"{s:+d}" for s in _element(symbol).common_oxidation_states]
    return f"The common oxidation states of {symbol} are {_listed(states)}." if states else ""


def _electronegativity(symbol: str) -> str:
    value = _element(symbol).X
    return f"The Pauling electronegativity of {symbol} is {value:g}." if value == value else ""


def _mass(symbol: str) -> str:
    return f"The atomic mass of {symbol} is {float(_element(symbol).atomic_mass):g} u."


def _number(symbol: str) -> str:
    return f"The atomic number of {symbol} is {_element(symbol).Z}."


def _radius(symbol: str) -> str:
    radii = {state: radius for state, radius in _element(symbol).ionic_radii.items() if radius}
    words = [f"{float(radius):.2f} Å as {symbol}{state:+d}" for state, radius in sorted(radii.items())]
    return f"The ionic radii of {symbol} are {_listed(words)} (Shannon, mean over coordinations)." if words else ""


def _hazard(symbol: str) -> str:
    words = hazards((symbol,)).get(symbol)
    return f"{symbol} is on matgen's list of hazards: {words}." if words else ""


PROPERTIES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"oxidation state|valence state", _oxidation),
    (r"electronegativit", _electronegativity),
    (r"atomic (?:mass|weight)", _mass),
    (r"atomic number", _number),
    (r"ionic radi", _radius),
    (r"\btoxic|hazard|dangerous|poison|radioactiv", _hazard),
)


def _rules(question: str) -> list[Passage]:
    """What a constraint named in the question demands, in the words of its own documentation."""
    if not re.search(r"\b(?:constraint|rule)\b", question, re.IGNORECASE):
        return []
    from matgen.constraints.base import CONSTRAINTS

    asked = re.sub(r"[\s_-]+", " ", question.lower())
    spoken = {n: n.replace("_", " ") for n in CONSTRAINTS.names()}
    told = {
        words: summary(CONSTRAINTS.get(n)).rstrip(".")
        for n, words in spoken.items()
        if re.search(rf"\b{re.escape(words)}\b", asked)
    }
    title = "Constraints of matgen"
    return [_row(f"constraint:{w}", title, f"The constraint {w}: {text}.") for w, text in told.items() if text]


def _row(name: str, title: str, sentence: str) -> Passage:
    document = Document(f"table:{name}", title, sentence, kind="table", source="matgen")
    return Passage(document, 0, len(sentence))


def _element(symbol: str) -> Any:
    from pymatgen.core import Element

    return Element(symbol)


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
