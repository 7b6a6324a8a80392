"""What a sentence takes up from another: words said before, "the" after "a", abbreviations after their definition.

An entity is new when it is first named and known afterwards, which shows in the article (Prince, 1981; entity grids:
Barzilay and Lapata, Comput. Linguist. 34, 1 (2008)). Shapes: N sentences, K = :data:`KINDS` features.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.terms import STOPWORDS, stemmer

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = 8
KNOWN = frozenset(["the", "this", "these", "that", "those", "such", "both", "its", "their", "our"])
"""Words that announce something known; "a" and "an" announce something new."""
REACH = 3
"""Words after an article that may belong to it, up to the next stop word."""
_WORD = re.compile(r"[A-Za-z][\w-]*|\d[\d.,]*")
_SHORT = r"[A-Z][A-Za-z0-9-]*[A-Z][A-Za-z0-9]*"
_DEFINED, _USED = re.compile(rf"\(({_SHORT})s?\)"), re.compile(rf"\b{_SHORT}\b")


@dataclass(frozen=True)
class Mentions:
    """Stems that a sentence names, those announced as known or new, and abbreviations that it defines or only uses."""

    named: frozenset[str]
    known: frozenset[str]
    new: frozenset[str]
    defined: frozenset[str]
    used: frozenset[str]


@lru_cache(maxsize=64)
def mentions(sentence: str) -> Mentions:
    """The mentions of a sentence."""
    words = [word.lower() for word in _WORD.findall(sentence)]
    stems = stemmer().stemWords(words)
    named = {s for s, w in zip(stems, words, strict=True) if w not in STOPWORDS and len(w) > 2 and w[0].isalpha()}
    announced: dict[bool, set[str]] = {True: set(), False: set()}
    for i, word in enumerate(words):
        if word in KNOWN or word in {"a", "an"}:
            for following in range(i + 1, min(i + 1 + REACH, len(words))):
                if words[following] in STOPWORDS:
                    break
                announced[word in KNOWN].add(stems[following])
    defined = set(_DEFINED.findall(sentence))
    used = set(_USED.findall(sentence)) - defined
    parts = (named, announced[True] & named, announced[False] & named, defined, used)
    return Mentions(*map(frozenset, parts))


def taken_up(sentences: Sequence[str]) -> np.ndarray:
    """(N, N, K) what the column's sentence takes up from the row's."""
    found = [mentions(s) for s in sentences]
    features = np.zeros((len(found), len(found), KINDS), dtype=np.float32)
    for i, a in enumerate(found):
        for j, b in enumerate(found):
            if i != j:
                features[i, j] = _between(a, b)
    return features


def _between(a: Mentions, b: Mentions) -> tuple[float, ...]:
    shared = len(a.named & b.named)
    return (
        np.log1p(len(b.known & a.named)),
        np.log1p(len(b.new & a.named)),
        float(bool(a.defined & b.used)),
        float(bool(a.used & b.used)),
        np.log1p(shared),
        shared / max(1, len(b.named)),
        float(bool(b.known & a.new)),
        np.log1p(len(b.known - a.named)),
    )
