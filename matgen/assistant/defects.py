"""Answers spoiled on purpose, to train and to test the judge: each defect is of one known kind.

Two disjoint families of ungrammatical edits exist: one to train on, one to test with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matgen.assistant.notation import readable, sentences
from matgen.assistant.verification import OPPOSITES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

FUNCTION_WORDS = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "in",
        "to",
        "is",
        "are",
        "and",
        "for",
        "with",
        "by",
        "that",
        "on",
        "at",
        "as",
        "from",
        "be",
    ]
)
AGREEMENT = {"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has", "this": "these"}
AGREEMENT |= {"these": "this", "shows": "show", "show": "shows", "exhibits": "exhibit", "a": "an"}


def parts_of(text: str) -> list[str]:
    """The sentences of a text."""
    text = readable(text)
    return [text[a:b] for a, b in sentences(text)]


def shuffled(text: str, rng: np.random.Generator) -> str:
    """The sentences in another order."""
    parts = parts_of(text)
    order = list(range(len(parts)))
    while len(parts) > 1 and order == sorted(order):
        rng.shuffle(order)
    return " ".join(parts[i] for i in order)


def contradicting(text: str, rng: np.random.Generator) -> str:
    """One statement turned into its contrary: a word by its opposite, a number changed, or a negation put in."""
    options = [edit for edit in (_opposite(text), _negated(text), _renumbered(text, rng)) if edit and edit != text]
    return options[int(rng.integers(len(options)))] if options else f"It is not true that {text[0].lower()}{text[1:]}"


def ungrammatical(text: str, rng: np.random.Generator, family: str = "test") -> str:
    """About every fifth word spoiled by edits of one family (``train`` or ``test``)."""
    words = readable(text).split()
    for _ in range(max(2, len(words) // 5)):
        edit = EDITS[family][int(rng.integers(len(EDITS[family])))]
        edit(words, rng)
    return " ".join(words)


def _swap(words: list[str], rng: np.random.Generator) -> None:
    if len(words) > 3:
        i = int(rng.integers(1, len(words) - 2))
        words[i], words[i + 1] = words[i + 1], words[i]


def _repeat(words: list[str], rng: np.random.Generator) -> None:
    i = int(rng.integers(len(words)))
    words.insert(i, words[i])


def _drop_function(words: list[str], rng: np.random.Generator) -> None:
    places = [i for i, w in enumerate(words) if w.lower() in FUNCTION_WORDS]
    if places:
        del words[places[int(rng.integers(len(places)))]]


def _insert_function(words: list[str], rng: np.random.Generator) -> None:
    words.insert(int(rng.integers(1, len(words))), sorted(FUNCTION_WORDS)[int(rng.integers(len(FUNCTION_WORDS)))])


def _disagree(words: list[str], rng: np.random.Generator) -> None:
    places = [i for i, w in enumerate(words) if w in AGREEMENT]
    if places:
        i = places[int(rng.integers(len(places)))]
        words[i] = AGREEMENT[words[i]]


def _move(words: list[str], rng: np.random.Generator) -> None:
    word = words.pop(int(rng.integers(len(words))))
    words.insert(int(rng.integers(len(words) + 1)), word)


def _wrong_form(words: list[str], rng: np.random.Generator) -> None:
    places = [i for i, w in enumerate(words) if w.isalpha() and w.islower() and len(w) > 4]
    if places:
        i = places[int(rng.integers(len(places)))]
        word = words[i]
        words[i] = word[:-1] if word.endswith("s") else word[:-2] if word.endswith("ed") else f"{word}s"


def _reverse_run(words: list[str], rng: np.random.Generator) -> None:
    if len(words) > 4:
        i = int(rng.integers(len(words) - 3))
        words[i : i + 3] = words[i : i + 3][::-1]


EDITS: dict[str, Sequence[Callable[[list[str], np.random.Generator], None]]] = {
    "train": (_swap, _repeat, _insert_function, _wrong_form),
    "test": (_drop_function, _disagree, _move, _reverse_run),
}


def _opposite(text: str) -> str | None:
    for sides in OPPOSITES:
        for here, there in ((sides[0], sides[1]), (sides[1], sides[0])):
            for word in re.findall(r"[A-Za-z-]+", text):
                if word.lower() in here:
                    other = _same_form(word.lower(), there)
                    return re.sub(rf"\b{re.escape(word)}\b", other, text, count=1)
    return None


def _same_form(word: str, side: frozenset[str]) -> str:
    """A word of the other side with the same ending where there is one."""
    for ending in ("ing", "ed", "es", "s", "er", "ly"):
        fitting = sorted(w for w in side if w.endswith(ending))
        if word.endswith(ending) and fitting:
            return fitting[0]
    return min(side, key=lambda w: (len(w), w))


def _negated(text: str) -> str | None:
    changed = re.sub(r"\b(is|are|was|were|can|does|has|have)\b(?! not)", r"\1 not", text, count=1)
    return changed if changed != text else None


def _renumbered(text: str, rng: np.random.Generator) -> str | None:
    found = list(re.finditer(r"(?<![\w.^-])\d+(?:\.\d+)?(?![\w.])", text))
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    changed = f"{float(match[0]) * float(rng.choice([0.5, 1.3, 2.0, 10.0])) + 1:g}"
    return text[: match.start()] + changed + text[match.end() :]
