"""Documents and passages: what the corpus holds and what an answer may cite."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from matgen.assistant.notation import readable, sentences
from matgen.runtime import content_id

PASSAGE_LENGTH = 900
"""Characters that a passage should not exceed; a single longer sentence makes a longer passage."""


@dataclass(frozen=True)
class Document:
    """A text with its metadata.

    Args:
        id: ``arXiv:...``, ``DOI:...`` or a content hash; what citations name.
        title: Title.
        text: The text as read, which passages point into by offsets.
        authors: Names joined by commas.
        year: Year of publication, 0 where unknown.
        doi: Digital object identifier without prefix.
        kind: ``literature``, ``knowledge`` (shipped), ``recipe``, ``table`` or ``record`` (a run's own numbers).
        source: The file or service that it came from.
    """

    id: str
    title: str
    text: str
    authors: str = ""
    year: int = 0
    doi: str = ""
    kind: str = "literature"
    source: str = ""

    @property
    def fingerprint(self) -> str:
        """Hash of the words of title and text, equal for the same paper read from two files."""
        return content_id(re.sub(r"\W+", "", (self.title + self.text).lower()), length=20)


@dataclass(frozen=True)
class Passage:
    """Some consecutive sentences of a document: ``document.text[start:end]``."""

    document: Document
    start: int
    end: int

    @property
    def raw(self) -> str:
        """The characters of the document."""
        return self.document.text[self.start : self.end]

    @property
    def text(self) -> str:
        """The passage in plain notation."""
        return readable(self.raw)

    def sentences(self) -> list[Passage]:
        """Each sentence as a passage of its own."""
        return [Passage(self.document, a, b) for a, b in sentences(self.document.text, self.start, self.end)]


@dataclass(frozen=True)
class Citation:
    """A numbered reference to a passage."""

    label: int
    document: str
    title: str
    authors: str
    year: int
    doi: str
    start: int
    end: int
    passage: str

    @classmethod
    def of(cls, label: int, passage: Passage) -> Citation:
        """The citation of a passage under a number."""
        d = passage.document
        title = readable(d.title)
        return cls(label, d.id, title, d.authors, d.year, d.doi, passage.start, passage.end, passage.text)


@dataclass(frozen=True)
class Answer:
    """What the assistant answers.

    Args:
        text: Sentences that end in citation labels, or why the question is refused.
        citations: The passages behind the labels.
        refused: Whether nothing could be answered.
        confidence: 0 to 1, from retrieval and verification.
        scores: Numbers by name that the answer was judged with.
        missing: What would have been needed.
        trace: What was retrieved, composed and removed, step by step.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    confidence: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    trace: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values with the keys ``answer``, ``citations``, ``refused``, ``scores`` and the rest."""
        plain = asdict(self)
        return {"answer": plain.pop("text"), **plain}


def split(document: Document, length: int = PASSAGE_LENGTH) -> list[Passage]:
    """Passages of whole sentences, about equally long and no longer than ``length`` where sentences allow."""
    parts = sentences(document.text)
    if not parts:
        return []
    total = parts[-1][1] - parts[0][0]
    wanted = total / max(1, -(-total // length))
    passages, start = [], parts[0][0]
    for (_, end), following in zip(parts, [*parts[1:], None], strict=True):
        if following is None or end - start >= wanted or following[1] - start > length:
            passages.append(Passage(document, start, end))
            start = following[0] if following else end
    return passages
