"""A judge without a language model: groundedness, relevance, coherence, fluency and similarity, each 1 to 5.

Inputs follow the usage of the field: groundedness (question, context, answer), relevance (question, context, answer),
coherence and fluency (question, answer), similarity (question, ground truth, answer). Groundedness and similarity
rest on :mod:`matgen.assistant.verification`; coherence (:mod:`matgen.assistant.ordering`) and fluency on two small
heads over the frozen sentence encoder, trained to tell real abstracts from spoiled ones (``judge.json``).

Shapes: N tokens, T tokens of a sentence, D features of the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.extraction import wanted_dimensions, wants_number
from matgen.assistant.notation import readable, sentences
from matgen.assistant.ordering import naturalness, token_states
from matgen.assistant.quantities import quantities
from matgen.assistant.terms import asked, speaks_of, stems, terms
from matgen.assistant.verification import LABEL, contradiction, support
from matgen.features.sentences import encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METRICS = ("groundedness", "relevance", "coherence", "fluency", "similarity")
CUTS = {
    "groundedness": (0.35, 0.5, 0.65, 0.8),
    "relevance": (0.25, 0.38, 0.5, 0.62),
    "coherence": (0.35, 0.45, 0.55, 0.65),
    "fluency": (0.087, 0.139, 0.191, 0.251),
    "similarity": (0.3, 0.45, 0.6, 0.78),
}
"""Scores from 0 to 1 at which the grade rises from 1 to 5."""
LAYERS = (2, 4, 6)
"""Encoder layers whose token states the fluency head reads."""


@dataclass(frozen=True)
class Judgement:
    """Scores (0 to 1) and grades (1 to 5) by metric; metrics whose inputs were not given are absent."""

    scores: dict[str, float]
    grades: dict[str, int]


def judge(question: str, answer: str, context: str = "", truth: str = "") -> Judgement:
    """Judge an answer.

    Args:
        question: What was asked.
        answer: The answer; citation labels are ignored.
        context: Passages it should rest on; empty leaves groundedness out.
        truth: A right answer; empty leaves similarity out.
    """
    plain = " ".join(LABEL.sub("", readable(answer)).replace(" .", ".").split())
    scores = {"relevance": relevance(question, plain), "coherence": coherence(plain), "fluency": fluency(plain)}
    if context:
        scores["groundedness"] = groundedness(plain, context)
    if truth:
        scores["similarity"] = similarity(truth, plain)
    scores = {name: scores[name] for name in METRICS if name in scores}
    return Judgement(scores, {name: grade(name, score) for name, score in scores.items()})


def grade(metric: str, score: float) -> int:
    """The grade from 1 to 5 of a score from 0 to 1."""
    return 1 + sum(score >= cut for cut in CUTS[metric])


def groundedness(answer: str, context: str) -> float:
    """How far the context carries the answer: the mean over its sentences, pulled down by the worst one."""
    found = [support(s, context).score for s in _parts(answer)]
    return float(0.5 * np.mean(found) + 0.5 * min(found)) if found else 0.0


def relevance(question: str, answer: str) -> float:
    """How far the answer speaks to the question: meaning, terms of the question, and the kind of answer wanted."""
    if not answer.strip():
        return 0.0
    a, b = encoder()([question]), encoder()([answer])
    wanted, given = asked(question), set(terms(answer))
    coverage = sum(speaks_of(t, given) for t in wanted) / max(1, len(wanted))
    score = 0.65 * max(0.0, float(a[0] @ b[0])) + 0.35 * coverage
    if wants_number(question):
        stated, dimensions = {q.dimension for q in quantities(answer)}, wanted_dimensions(question)
        score *= 1.0 if (stated & dimensions if dimensions else stated) else 0.6
    return min(1.0, score)


def similarity(truth: str, answer: str) -> float:
    """How far the answer says what a right answer says; wrong numbers and contraries count heavily."""
    if not answer.strip():
        return 0.0
    cosine = float(encoder()([truth])[0] @ encoder()([answer])[0])
    mine, theirs = set(stems(answer)), set(stems(truth))
    overlap = 2 * len(mine & theirs) / max(1, len(mine) + len(theirs))
    score = 0.6 * max(0.0, cosine) + 0.4 * overlap
    numbers = quantities(truth)
    given = quantities(answer)
    if numbers and not any(q.agrees(g) for q in numbers for g in given):
        score *= 0.5
    return score * (0.6 if contradiction(answer, truth) else 1.0)


def coherence(answer: str) -> float:
    """How far the sentences stand in a natural order, 0 to 1; a single sentence is coherent."""
    return naturalness(_parts(answer), _heads())


def fluency(answer: str) -> float:
    """How far the text reads as correct English, 0 to 1: one minus the suspicion of its most suspicious words."""
    found = [_sound(part) for part in _parts(answer)]
    return float(np.mean(found)) if found else 0.0


def _sound(sentence: str) -> float:
    logits = head("words", token_features(sentence))
    worst = np.sort(_sigmoid(logits))[::-1][: max(2, len(logits) // 8)]
    return float(1.0 - worst.mean())


def token_features(sentence: str) -> np.ndarray:
    """(T, 3D) states of a sentence's tokens at :data:`LAYERS`, without the two marks at its ends."""
    states = token_states(sentence)
    return np.concatenate([states[layer][1:-1] for layer in LAYERS], axis=1)


def head(name: str, x: np.ndarray) -> np.ndarray:
    """(N,) logits of a trained head with one hidden layer: w2 relu(w1 x + b1) + b2."""
    w = _heads()
    hidden = np.maximum(x @ w[f"{name}.w1"].astype(np.float32).T + w[f"{name}.b1"], 0.0)
    return hidden @ w[f"{name}.w2"].astype(np.float32) + w[f"{name}.b2"]


@lru_cache(maxsize=1)
def _heads() -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(Path(str(resources.files("matgen.assistant"))) / "data" / "judge.safetensors")


def agreement(a: Sequence[int], b: Sequence[int]) -> float:
    """Cohen's kappa with quadratic weights between two lists of grades, 1 for the same and 0 for chance.

    Where neither list varies the chance agreement is undefined; equal lists then give 1 and others 0.
    """
    from sklearn.metrics import cohen_kappa_score

    if len(set(a)) == 1 and len(set(b)) == 1:
        return float(a[0] == b[0])
    return float(cohen_kappa_score(a, b, weights="quadratic", labels=[1, 2, 3, 4, 5]))


def agreements(rows: Sequence[Mapping[str, Mapping[str, int]]], one: str, other: str) -> dict[str, dict[str, float]]:
    """Agreement of two judges by metric and over all metrics: kappa, share of equal grades, share within one, and n.

    Args:
        rows: For each answer, grades by metric under the names of the judges.
        one: A judge.
        other: Another.
    """
    pairs = [(m, g, r[other][m]) for r in rows if {one, other} <= set(r) for m, g in r[one].items() if m in r[other]]
    found = {}
    for metric in (*METRICS, "all"):
        a = [g for m, g, _ in pairs if metric in {m, "all"}]
        b = [g for m, _, g in pairs if metric in {m, "all"}]
        if a:
            apart = np.abs(np.array(a) - np.array(b))
            shares = {"equal": float((apart == 0).mean()), "within one": float((apart <= 1).mean())}
            found[metric] = {"kappa": round(agreement(a, b), 3), **shares, "n": len(a)}
    return found


def _parts(text: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text)]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))
