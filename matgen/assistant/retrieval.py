"""Search over passages: BM25 and sentence embeddings, fused by rank; materials count as terms of their own.

Equations: BM25 as in Robertson and Zaragoza, Found. Trends Inf. Retr. 3, 333 (2009); reciprocal rank fusion,
Cormack et al., SIGIR 2009: score(d) = sum over rankings of w / (60 + rank(d)).

Shapes: P passages, N sentences, D features.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.ranking import RANKED
from matgen.assistant.terms import asked, terms
from matgen.features.sentences import encoder
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.assistant.document import Document, Passage
    from matgen.assistant.ranking import Ranker

DEPTH = 100
"""How many passages each ranking contributes."""
DAMPING = 60.0
TITLE_WEIGHT = 0.35
"""Share of the title in a sentence vector: sentences of an abstract often do not name their subject."""


@dataclass(frozen=True)
class Hit:
    """A passage found.

    Args:
        passage: Where the evidence lies.
        score: Fused score.
        lexical: BM25 score.
        semantic: Largest cosine between the question and a sentence of the passage.
        best: Row of that sentence.
    """

    passage: Passage
    score: float
    lexical: float
    semantic: float
    best: int


@dataclass
class Index:
    """Passages, their sentences and what is needed to search them.

    Args:
        documents: Documents by position.
        passages: P passages.
        owners: (N,) row of the passage that each sentence belongs to, ascending.
        spans: (N, 2) offsets of each sentence in its document.
        vectors: (N, D) unit vectors of the sentences, the title mixed in.
        bm25: A ``bm25s.BM25`` over the passages, or None for an empty index.
        ranker: A model that orders the first passages anew, or None.
    """

    documents: list[Document]
    passages: list[Passage]
    owners: np.ndarray
    spans: np.ndarray
    vectors: np.ndarray
    bm25: Any
    ranker: Ranker | None = None

    def search(self, question: str, k: int = 8, kinds: frozenset[str] | None = None) -> list[Hit]:
        """The ``k`` passages nearest to a question, best first.

        Args:
            question: In natural language; formulas and materials names are understood.
            k: How many.
            kinds: Document kinds to search; all if None.
        """
        if not self.passages:
            return []
        lexical = self.lexical(question)
        cosines = self.vectors @ encoder()([question])[0]
        semantic = np.maximum.reduceat(cosines, self.starts)
        allowed = np.array([kinds is None or p.document.kind in kinds for p in self.passages])
        fused = fuse([np.where(allowed, lexical, -np.inf), np.where(allowed, semantic, -np.inf)])
        deep = k if self.ranker is None else max(k, RANKED)
        order = [int(i) for i in np.argsort(-fused, kind="stable")[:deep] if allowed[i]]
        if self.ranker is not None and order:
            scores = self.ranker.scores(question, [self.passages[i].text for i in order])
            order = [order[i] for i in np.argsort(-scores, kind="stable")[:k]]
        return [self._hit(i, fused, lexical, semantic, cosines) for i in order]

    def lexical(self, question: str) -> np.ndarray:
        """(P,) BM25 scores."""
        words = [w for w in asked(question) if self.bm25 is not None and w in self.bm25.vocab_dict]
        if not words:
            return np.zeros(len(self.passages), dtype=np.float32)
        return np.asarray(self.bm25.get_scores(words))

    def rarity(self, term: str) -> float:
        """Inverse document frequency of a term; the largest value for a term that never occurs."""
        n = len(self.passages)
        return float(np.log(1.0 + n / (1.0 + self.frequencies.get(term, 0))))

    @cached_property
    def frequencies(self) -> dict[str, int]:
        """Number of passages that hold each term."""
        if self.bm25 is None:
            return {}
        pointer = np.diff(self.bm25.scores["indptr"])
        return {term: int(pointer[i]) for term, i in self.bm25.vocab_dict.items() if i < len(pointer)}

    @cached_property
    def starts(self) -> np.ndarray:
        """(P,) first sentence row of each passage."""
        return np.searchsorted(self.owners, np.arange(len(self.passages)))

    def sentence_rows(self, passage_row: int) -> range:
        """Rows of the sentences of a passage."""
        end = self.starts[passage_row + 1] if passage_row + 1 < len(self.passages) else len(self.owners)
        return range(int(self.starts[passage_row]), int(end))

    def _hit(self, i: int, fused: np.ndarray, lexical: np.ndarray, semantic: np.ndarray, cosines: np.ndarray) -> Hit:
        rows = self.sentence_rows(i)
        best = rows.start + int(np.argmax(cosines[rows.start : rows.stop]))
        return Hit(self.passages[i], float(fused[i]), float(lexical[i]), float(semantic[i]), best)


def fuse(rankings: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """(P,) reciprocal-rank fusion of (P,) scores; beyond its first :data:`DEPTH` a ranking adds nothing."""
    total = np.zeros(len(rankings[0]))
    for scores, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        order = np.argsort(-scores, kind="stable")[:DEPTH]
        order = order[scores[order] > 0]
        total[order] += weight / (DAMPING + 1.0 + np.arange(len(order)))
    return total


def sentence_vectors(passages: Sequence[Passage]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owners (N,), spans (N, 2) and vectors (N, D) of the sentences of passages."""
    parts = [(row, sentence) for row, passage in enumerate(passages) for sentence in passage.sentences()]
    titles = {p.document.id: p.document.title for p in passages}
    encode = encoder()
    known = dict(zip(titles, encode(list(titles.values()), rapid=True), strict=True)) if titles else {}
    vectors = encode([s.text for _, s in parts], rapid=True)
    if parts:
        vectors = vectors + TITLE_WEIGHT * np.stack([known[s.document.id] for _, s in parts])
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    owners = np.array([row for row, _ in parts], dtype=np.int64)
    spans = np.array([(s.start, s.end) for _, s in parts], dtype=np.int64).reshape(-1, 2)
    return owners, spans, vectors.astype(np.float16)


def lexical_index(passages: Sequence[Passage]) -> Any:
    """A BM25 index over the terms of title and text, or None where there are none."""
    titles = {p.document.id: terms(p.document.title) for p in passages}
    rows = [terms(p.raw) + titles[p.document.id] for p in passages]
    if not any(rows):
        return None
    bm25 = require("bm25s", "assistant").BM25()
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import asks for debug messages
    bm25.index(rows, show_progress=False)
    return bm25


def build_index(documents: Sequence[Document]) -> Index:
    """Index of documents held in memory only, for run records and the shipped knowledge."""
    from matgen.assistant.document import split

    passages = [p for document in documents for p in split(document)]
    owners, spans, vectors = sentence_vectors(passages)
    return Index(list(documents), passages, owners, spans, vectors.astype(np.float32), lexical_index(passages))
