"""Do the sentences of a text stand in a natural order? A small network over the frozen sentence encoder.

Each pair of sentences gets a logit that the first comes first, antisymmetric in the two,

    l(a, b) = f(u_a, u_b) - f(u_b, u_a),   u = relu(W x + c),   f = v . relu(M [u_a, u_b, u_a u_b, t_ab] + m),

from features x: means of token states in a low and in the last layer (what a sentence says), and the states of its
first words in two low layers (how it opens: "However", "These results", "Here we"); t says what the second takes up
from the first (:mod:`matgen.assistant.mentions`). An order o has the probability

    p(o) = prod_{i<j} sigmoid(l(o_i, o_j)) / Z,   Z = the same product summed over all N! orders,

the model of Babington Smith (J. R. Stat. Soc. B 12, 153 (1950)). Its log-ratio to a random order,
log p(o) + log N!, how well neighbours follow each other, and the mean over pairs are joined by a logistic regression.

Shapes: N sentences, T tokens, D = 384 features of the encoder, F = 4D.
"""

from __future__ import annotations

from functools import lru_cache
from math import lgamma
from typing import TYPE_CHECKING

import numpy as np

from matgen.assistant.mentions import taken_up
from matgen.features.sentences import encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEANS, OPENINGS = (6, 1), (1, 3)
"""Layers whose mean over all tokens, and whose mean over the first words, describe a sentence."""
OPENING = 4
"""Tokens that count as its first words."""
LONGEST = 8
"""Sentences up to which all orders are summed; a longer text is read in overlapping windows of so many."""


@lru_cache(maxsize=64)
def token_states(sentence: str) -> tuple[np.ndarray, ...]:
    """(T, D) states of a sentence's tokens after the embedding and after each layer."""
    states, _ = encoder().states([sentence])
    return tuple(layer[0] for layer in states)


def sentence_features(states: Sequence[np.ndarray]) -> np.ndarray:
    """(F,) description of a sentence from the (T, D) states of its tokens."""
    means = [states[layer].mean(axis=0) for layer in MEANS]
    openings = [states[layer][1 : 1 + OPENING].mean(axis=0) for layer in OPENINGS]
    return np.concatenate([*means, *openings]).astype(np.float32)


def pair_logits(x: np.ndarray, taken: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, N) logits that the row's sentence comes before the column's, from (N, F) features and (N, N, K) mentions."""
    w = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}
    u = np.maximum(x @ w["order.project"].T + w["order.project_bias"], 0.0)
    width = u.shape[1]
    first, second, product, rest = np.split(w["order.mix"], [width, 2 * width, 3 * width], axis=1)
    joint = (u @ first.T)[:, None] + (u @ second.T)[None, :] + (u[:, None] * u[None, :]) @ product.T + taken @ rest.T
    f: np.ndarray = np.maximum(joint + w["order.mix_bias"], 0.0) @ w["order.out"]
    return f - f.T


def order_evidence(logits: np.ndarray) -> np.ndarray:
    """(4,) what speaks for the given order: log-ratio to a random order, the same for each step, neighbours, pairs.

    Args:
        logits: (N, N) logits that the row's sentence comes before the column's; N is at least 2.
    """
    n = len(logits)
    log_p = -np.logaddexp(0.0, -logits)
    above = np.triu_indices(n, 1)
    ratio = float(log_p[above].sum()) - log_partition(log_p) + lgamma(n + 1)
    neighbours = np.diagonal(log_p, 1)
    return np.array([ratio, ratio / (n - 1), float(neighbours.mean()), float(np.exp(log_p[above]).mean())])


def log_partition(log_p: np.ndarray) -> float:
    """Log of the sum over all orders of the product over pairs, by growing sets of sentences one at a time.

    Args:
        log_p: (N, N) log-probabilities that the row's sentence comes before the column's.
    """
    n = len(log_p)
    sets = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    joined = sets @ np.where(np.eye(n, dtype=bool), 0.0, log_p)  # a set before one more sentence
    total = np.full(2**n, -np.inf)
    total[0] = 0.0
    for size in range(1, n + 1):
        here = np.flatnonzero(sets.sum(axis=1) == size)
        without = here[:, None] ^ (1 << np.arange(n))
        terms = np.where(sets[here] == 1, total[without] + joined[without, np.arange(n)], -np.inf)
        total[here] = np.logaddexp.reduce(terms, axis=1)
    return float(total[-1])


def naturalness(sentences: Sequence[str], weights: Mapping[str, np.ndarray]) -> float:
    """Probability that sentences stand in their own order and not in a random one, 0 to 1; 1 for a single sentence."""
    if len(sentences) < 2:
        return 1.0
    x = np.stack([sentence_features(token_states(s)) for s in sentences])
    starts = range(0, max(1, len(x) - LONGEST // 2), LONGEST // 2)
    windows = [pair_logits(x[s : s + LONGEST], taken_up(sentences[s : s + LONGEST]), weights) for s in starts]
    evidence = np.stack([order_evidence(w) for w in windows])
    logits = evidence @ weights["order.evidence"] + weights["order.evidence_bias"]
    return float((1.0 / (1.0 + np.exp(-logits))).mean())
