"""The order of sentences: the sum over all orders, antisymmetry, and what speaks for an order."""

from itertools import permutations
from math import exp, factorial, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matgen.assistant.judging import coherence
from matgen.assistant.ordering import LONGEST, log_partition, naturalness, order_evidence, pair_logits

TEXT = (
    "Gallium nitride is a wide-gap semiconductor used in light-emitting diodes. Growth of defect-free films has "
    "remained difficult. Here we grow GaN films on sapphire by molecular beam epitaxy. X-ray diffraction shows that "
    "the films are single crystals. These results open a way to better ultraviolet detectors."
)


def log_probabilities(logits):
    return -np.logaddexp(0.0, -logits)


def antisymmetric(n, seed, scale=2.0):
    half = np.triu(np.random.default_rng(seed).normal(size=(n, n)) * scale, 1)
    return half - half.T


@given(n=st.integers(2, 6), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_partition_is_the_sum_over_all_orders(n, seed):
    log_p = log_probabilities(antisymmetric(n, seed))
    above = np.triu_indices(n, 1)
    total = sum(exp(log_p[np.ix_(o, o)][above].sum()) for o in permutations(range(n)))
    assert log_partition(log_p) == pytest.approx(log(total))


def test_without_evidence_every_order_is_random():
    ratio, per_step, neighbours, pairs = order_evidence(np.zeros((4, 4)))
    assert (ratio, per_step) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert (neighbours, pairs) == pytest.approx((log(0.5), 0.5))


def test_certain_evidence_singles_out_one_order():
    certain = 60.0 * np.sign(np.arange(4)[None, :] - np.arange(4)[:, None])
    assert order_evidence(certain)[0] == pytest.approx(log(factorial(4)))
    assert order_evidence(certain.T)[0] < -50


def test_pair_logits_are_antisymmetric():
    rng = np.random.default_rng(0)
    shapes = {"project": (3, 8), "project_bias": (3,), "mix": (5, 11), "mix_bias": (5,), "out": (5,)}
    weights = {f"order.{name}": rng.normal(size=shape) for name, shape in shapes.items()}
    x, taken = rng.normal(size=(4, 8)).astype(np.float32), rng.normal(size=(4, 4, 2)).astype(np.float32)
    logits = pair_logits(x, taken, weights)
    assert logits.shape == (4, 4)
    assert logits == pytest.approx(-logits.T)
    assert np.abs(logits).max() > 0.1


def test_a_single_sentence_is_in_order():
    assert naturalness(["Iron rusts."], {}) == 1.0


def test_natural_order_scores_above_its_reverse_and_long_texts_are_read_in_windows():
    parts = TEXT.split(". ")
    reverse = ". ".join([part.rstrip(".") for part in reversed(parts)]) + "."
    assert coherence(TEXT) > 0.5 > coherence(reverse)
    long = " ".join([TEXT] * 3)
    assert len(parts) * 3 > LONGEST
    assert 0.0 < coherence(long) < 1.0
