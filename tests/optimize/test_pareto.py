"""Pareto fronts against a figure by hand and the definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matgen.optimize.pareto import pareto_fronts

small = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.inf])


def test_a_figure_by_hand():
    losses = np.array([[1, 4], [2, 2], [4, 1], [2, 4], [4, 2], [5, 5], [2, 2]], dtype=float)
    assert pareto_fronts(losses).tolist() == [1, 1, 1, 2, 2, 3, 1]


def test_nothing_and_a_chain():
    assert pareto_fronts(np.zeros((0, 2))).tolist() == []
    chain = np.arange(600.0)[:, None] * np.ones((1, 3))  # more than one block
    assert pareto_fronts(chain[::-1]).tolist() == list(range(600, 0, -1))


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=small))
def test_each_front_is_what_no_other_left_dominates(losses):
    front = pareto_fronts(losses)
    for i, loss in enumerate(losses):
        better = [j for j, other in enumerate(losses) if (other <= loss).all() and (other < loss).any()]
        assert front[i] == 1 + max((front[j] for j in better), default=0)
