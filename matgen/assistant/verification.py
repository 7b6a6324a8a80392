"""Does a cited passage carry a sentence? Words, numbers with units, formulas, polarity and meaning must agree.

A sentence passes if it stands in its passage word for word, or if every one of the checks passes; where a model for
natural-language inference is configured, it must find the sentence entailed as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.materials import find_materials
from matgen.assistant.notation import readable, sentences
from matgen.assistant.quantities import unmatched
from matgen.assistant.terms import WORDS, stems
from matgen.features.sentences import encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.assistant.document import Citation
    from matgen.assistant.entailment import Entailment

LABEL = re.compile(r"\[([1-9]\d?(?:\s*,\s*[1-9]\d?)*)\]")
"""A citation label; ``[001]`` is a direction in a crystal."""
LEAST_WORDS, LEAST_COSINE = 0.6, 0.55
NEGATIONS = frozenset(WORDS["negations"])
OPPOSITES = tuple(tuple(frozenset(side) for side in sides) for sides in WORDS["opposites"])


@dataclass(frozen=True)
class Support:
    """How far a source carries a claim.

    Args:
        lexical: Share of the claim's words that the source has, 0 to 1.
        semantic: Largest cosine between the claim and a sentence of the source; 1 for a verbatim quotation.
        numbers: Numbers of the claim that the source lacks.
        materials: Materials of the claim that the source lacks.
        contradiction: What contradicts the source, or an empty string.
    """

    lexical: float
    semantic: float
    numbers: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    contradiction: str = ""

    @property
    def reason(self) -> str:
        """Why the claim fails, or an empty string where it stands."""
        if self.numbers:
            return f"the source does not state {', '.join(self.numbers)}"
        if self.materials:
            return f"the source does not name {', '.join(self.materials)}"
        if self.contradiction:
            return self.contradiction
        if self.lexical < LEAST_WORDS or self.semantic < LEAST_COSINE:
            return f"the source says something else (words {self.lexical:.2f}, meaning {self.semantic:.2f})"
        return ""

    @property
    def score(self) -> float:
        """0 (unsupported or contradicted) to 1 (stated)."""
        faults = len(self.numbers) + len(self.materials) + bool(self.contradiction)
        return float(np.clip(0.5 * self.lexical + 0.5 * self.semantic, 0.0, 1.0) * 0.4**faults)


@dataclass(frozen=True)
class Statement:
    """One sentence of an answer.

    Args:
        text: Without labels.
        labels: Citation numbers given after it.
        reason: Why it was removed, or an empty string where it stands.
    """

    text: str
    labels: tuple[int, ...]
    reason: str = ""

    @property
    def cited(self) -> str:
        """The sentence with its labels."""
        return f"{self.text} " + "".join(f"[{label}]" for label in self.labels)


def support(claim: str, source: str) -> Support:
    """Hold one claim against the text of its source."""
    claim, source = " ".join(readable(claim).split()), readable(source)
    if _bare(claim) in _bare(source):
        return Support(1.0, 1.0)
    words, known = stems(claim), set(stems(source))
    lexical = sum(w in known for w in words) / max(1, len(words))
    parts = [source[a:b] for a, b in sentences(source)] or [source]
    vectors = encoder()([claim, *parts])
    cosines = vectors[1:] @ vectors[0]
    overlap = [len(set(words) & set(stems(part))) / max(1, len(words)) for part in parts]
    nearest = parts[int(np.argmax(cosines + np.array(overlap)))]
    return Support(
        lexical,
        float(cosines.max()),
        tuple(unmatched(claim, source)),
        tuple(_foreign(claim, source)),
        contradiction(claim, nearest),
    )


def contradiction(claim: str, sentence: str) -> str:
    """What in a claim is contrary to a sentence that speaks of the same things, or an empty string."""
    words, others = _plain_words(claim), _plain_words(sentence)
    if bool(words & NEGATIONS) != bool(others & NEGATIONS):
        return "the source differs in negation"
    for sides in OPPOSITES:
        mine = [bool(words & side) for side in sides]
        theirs = [bool(others & side) for side in sides]
        if any(mine) and any(theirs) and not any(m and t for m, t in zip(mine, theirs, strict=True)):
            return f"the source says the opposite of {', '.join(sorted(set().union(*sides) & words))!r}"
        gained = [i for i, (m, t) in enumerate(zip(mine, theirs, strict=True)) if m and not t]
        lost = [i for i, (m, t) in enumerate(zip(mine, theirs, strict=True)) if t and not m]
        if gained and lost:
            return f"the source says the opposite of {', '.join(sorted(sides[gained[0]] & words))!r}"
    return ""


def verify(text: str, citations: Sequence[Citation], entailment: Entailment | None = None) -> list[Statement]:
    """Check each sentence of a text, whose labels stand in it, against the passages that it cites."""
    return check(cited_sentences(text), citations, entailment)


def check(
    parts: Sequence[tuple[str, tuple[int, ...]]], citations: Sequence[Citation], entailment: Entailment | None = None
) -> list[Statement]:
    """Check sentences that come with their labels; brackets inside them are the source's own.

    Args:
        parts: Sentences and the labels given after them.
        citations: What the labels stand for.
        entailment: A model that must find each sentence entailed as well, unless it stands in its source verbatim.
    """
    known = {c.label: c for c in citations}
    statements = []
    for sentence, labels in parts:
        if not labels:
            statements.append(Statement(sentence, (), "no citation"))
            continue
        missing = [label for label in labels if label not in known]
        if missing:
            statements.append(Statement(sentence, labels, f"citation {missing[0]} does not exist"))
            continue
        source = " ".join(f"{c.passage} {_credit(c)}" for c in (known[label] for label in labels))
        fault = _fault(sentence, source)
        if not fault and entailment is not None and not _quoted(sentence, source):
            passages = [known[label].passage for label in labels]
            fault = entailment.fault(sentence, [p[a:b] for p in passages for a, b in sentences(p)])
        statements.append(Statement(sentence, labels, fault))
    return statements


def cited_sentences(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """Sentences with the labels that follow them; a label may stand before or after the full stop."""
    text = re.sub(rf"\s*((?:{LABEL.pattern}\s*)+)([.!?])(?=\s|$)", r"\3 \1", text)
    found: list[tuple[str, tuple[int, ...]]] = []
    pending = re.split(rf"((?:\s*{LABEL.pattern.replace('(', '(?:', 1)})+)", text)
    for body, marks in zip(pending[::2], [*pending[1::2], ""], strict=False):
        labels = tuple(int(n) for group in LABEL.findall(marks) for n in group.split(","))
        parts = [body[a:b] for a, b in sentences(body)]
        found += [(part, ()) for part in parts[:-1]]
        if parts:
            found.append((parts[-1], labels))
    return [(s, labels) for s, labels in found if re.search(r"\w", s)]


def _quoted(sentence: str, source: str) -> bool:
    """Whether a sentence, or what stands in its quotation marks, is the source's own text."""
    quoted = re.search(r"“(.+)”", sentence)
    return _bare(readable(quoted[1] if quoted else sentence)) in _bare(readable(source))


def _fault(sentence: str, source: str) -> str:
    if re.search(r"https?://|www\.", sentence):
        return "an answer contains no links"
    quoted = re.search(r"“(.+)”", sentence)
    if quoted:
        if not _quoted(sentence, source):
            return "what stands in quotation marks is not in the source"
        frame = sentence.replace(quoted[0], "")
        foreign = unmatched(frame, source)
        return f"the source does not state {', '.join(foreign)}" if foreign else ""
    return support(sentence, source).reason


def _credit(citation: Citation) -> str:
    return f"{citation.title} {citation.authors} {citation.year}"


def _foreign(claim: str, source: str) -> list[str]:
    theirs = find_materials(source)
    formulas, systems = {m.formula for m in theirs}, {m.system for m in theirs}
    return [m.text for m in find_materials(claim) if not (m.formula in formulas if m.formula else m.system in systems)]


def _plain_words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+(?:[-'’][a-z]+)*", readable(text).lower().replace("’", "'")))


def _bare(text: str) -> str:
    return re.sub(r"[^\w%°.+-]+", " ", text.lower()).strip(" .")
