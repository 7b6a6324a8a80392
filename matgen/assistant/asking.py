"""Question to answer: retrieve, compose, verify; what cannot be verified is left out or refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.document import Answer, Citation, Passage
from matgen.assistant.extraction import NOTHING, choose, confidence, gather, phrase
from matgen.assistant.hazards import gives_orders, hazard
from matgen.assistant.materials import find_materials
from matgen.assistant.terms import terms
from matgen.assistant.verification import Statement, check, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.assistant.backends import Backend
    from matgen.assistant.extraction import Evidence
    from matgen.assistant.retrieval import Hit, Index

LEAST_CONFIDENCE = 0.5


def ask(
    question: str,
    index: Index,
    *,
    backend: Backend | None = None,
    k: int = 8,
    kinds: frozenset[str] | None = None,
    least: float = LEAST_CONFIDENCE,
) -> Answer:
    """Answer a question from an index, with citations that hold, or refuse and say what is missing.

    Args:
        question: In natural language.
        index: What may be cited.
        backend: A language model that words the answer; None composes from the passages' own sentences.
        k: Passages to retrieve.
        kinds: Document kinds that may be cited; all if None.
        least: Confidence below which the question is refused.
    """
    refused = hazard(question)
    if refused:
        return Answer(refused, refused=True, missing=("a request that is safe to answer",))
    hits = index.search(question, k, kinds)
    evidence = gather(question, hits, index)
    trace: list[dict[str, Any]] = [_retrieved(hits)]
    chosen = choose(evidence)
    belief = max(map(confidence, chosen), default=0.0)
    if belief < least:
        return _refusal(question, evidence, belief, trace)
    if backend is None:
        return _quoted(chosen, belief, trace)
    return _worded(question, backend, evidence, hits, belief, trace)


def _quoted(chosen: Sequence[Evidence], belief: float, trace: list[dict[str, Any]]) -> Answer:
    """An answer in the passages' own words."""
    citations = [Citation.of(label, e.sentence) for label, e in enumerate(chosen, start=1)]
    parts = [(phrase(e.sentence), (c.label,)) for e, c in zip(chosen, citations, strict=True)]
    return finish(check(parts, citations), citations, belief, trace)


def _worded(
    question: str,
    backend: Backend,
    evidence: list[Evidence],
    hits: list[Hit],
    belief: float,
    trace: list[dict[str, Any]],
) -> Answer:
    """An answer in a language model's words over the clean sentences of the passages."""
    passages = [clean for hit in hits[:5] if (clean := _clean(hit.passage)) is not None]
    citations = [Citation.of(label, p) for label, p in enumerate(passages, start=1)]
    citations = [replace(c, passage=_clean_text(p)) for c, p in zip(citations, passages, strict=True)]
    text = "" if not citations else backend.answer(question, citations)
    trace.append({"step": "compose", "backend": backend.name, "text": text})
    answer = finish(verify(text, citations, backend.entailment), citations, belief, trace)
    if answer.refused and answer.missing:
        trace.append({"step": "fall back", "to": "extractive"})
        return _quoted(choose(evidence), belief, trace)
    return answer


def finish(
    statements: Sequence[Statement], citations: Sequence[Citation], belief: float, trace: list[dict[str, Any]]
) -> Answer:
    """Keep the statements that stand, with the citations that they use, renumbered from 1."""
    kept = [s for s in statements if not s.reason]
    removed = [{"sentence": s.text, "reason": s.reason} for s in statements if s.reason]
    trace = [*trace, {"step": "verify", "kept": len(kept), "removed": removed}]
    if not kept:
        reason = "Nothing that was found could be verified against its source."
        return Answer(
            reason, refused=True, missing=tuple(r["reason"] for r in removed) or ("a source",), trace=tuple(trace)
        )
    used = sorted({label for s in kept for label in s.labels})
    number = {label: i for i, label in enumerate(used, start=1)}
    lines = [Statement(s.text, tuple(number[n] for n in s.labels)).cited for s in kept]
    cited = tuple(replace(c, label=number[c.label]) for c in citations if c.label in number)
    share = len(kept) / len(statements)
    scores = {"retrieval": round(belief, 4), "verified": round(share, 4)}
    return Answer(" ".join(lines), cited, False, round(belief * share, 4), scores, (), tuple(trace))


def _refusal(question: str, evidence: Sequence[Evidence], belief: float, trace: list[dict[str, Any]]) -> Answer:
    # a material counts as not found only if no passage speaks of it, whatever its name there
    reasons = sorted((e.reason for e in evidence if e.reason), key=lambda r: r.startswith(NOTHING))
    barred = reasons[0] if reasons else ""
    named = {term for material in find_materials(question) for term in terms(material.text)}
    best = max(evidence, key=lambda e: e.coverage, default=None)
    lacking = [t for t in (best.missing if best else ()) if ":" not in t and t not in named]
    missing = tuple(filter(None, [barred, f"passages that speak of: {', '.join(lacking)}" if lacking else ""]))
    missing = missing or ("a passage that answers the question",)
    text = f"I cannot answer this from the documents at hand. Missing: {'; '.join(missing)}."
    return Answer(text, refused=True, confidence=round(belief, 4), missing=missing, trace=(*trace, {"step": "refuse"}))


def _retrieved(hits: Sequence[Hit]) -> dict[str, Any]:
    found = [
        {
            "document": h.passage.document.id,
            "start": h.passage.start,
            "end": h.passage.end,
            "score": round(h.score, 5),
            "lexical": round(h.lexical, 3),
            "semantic": round(h.semantic, 3),
        }
        for h in hits
    ]
    return {"step": "retrieve", "hits": found}


def _clean(passage: Passage) -> Passage | None:
    return passage if _clean_text(passage) else None


def _clean_text(passage: Passage) -> str:
    """The passage up to the first sentence that gives orders."""
    return " ".join(s.text for s in takewhile(lambda s: not gives_orders(s.raw), passage.sentences()))


def rank_of(question: str, index: Index, document: str, start: int, end: int, k: int = 20) -> int | None:
    """Rank (from 1) of the first retrieved passage that overlaps the answering span; None if it is not among ``k``."""
    for rank, hit in enumerate(index.search(question, k), start=1):
        p = hit.passage
        if p.document.id == document and p.start < end and p.end > start:
            return rank
    return None


def recall(ranks: Sequence[int | None], k: int) -> float:
    """Share of questions whose answering passage is among the first ``k``."""
    return float(np.mean([rank is not None and rank <= k for rank in ranks]))


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """Mean of 1/rank, 0 where nothing was found."""
    return float(np.mean([0.0 if rank is None else 1.0 / rank for rank in ranks]))
