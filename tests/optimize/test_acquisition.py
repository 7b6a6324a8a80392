"""Acquisition functions against integrals and limits that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.optimize.acquisition import (
    expected_improvement,
    probability_of_feasibility,
    promise,
    scalarised,
    upper_confidence_bound,
    window_moments,
)
from matgen.optimize.aims import Limit

NORMAL = np.random.default_rng(0).standard_normal(400_000)
numbers = st.floats(-3, 3)


@given(numbers, st.floats(0.05, 2), numbers)
def test_expected_improvement_is_the_mean_gain(mean, std, best):
    drawn = np.maximum(best - (mean + std * NORMAL), 0).mean()
    assert expected_improvement(np.array([mean]), np.array([std]), best)[0] == pytest.approx(drawn, abs=0.02)


@given(numbers, st.floats(0.05, 2))
def test_window_moments_are_those_of_the_distance(mean, std):
    drawn = mean + std * NORMAL
    distance = np.maximum(np.maximum(-0.5 - drawn, drawn - 1.0), 0)
    first, spread = window_moments(np.array([mean]), np.array([std]), -0.5, 1.0)
    assert first[0] == pytest.approx(distance.mean(), abs=0.02)
    assert spread[0] == pytest.approx(distance.std(), abs=0.03)


def test_probability_of_feasibility():
    limit = Limit(property="e", low=-1.96, high=1.96)
    chance = probability_of_feasibility(np.array([0.0, 1.96, 50.0]), np.ones(3), limit)
    assert chance == pytest.approx([0.95, 0.5, 0.0], abs=1e-3)


def test_confidence_bound_by_hand():
    assert upper_confidence_bound(np.array([2.0]), np.array([0.5]), 2.0).tolist() == [-1.0]


def test_scalarisation_by_hand():
    assert scalarised(np.array([[1.0, 0.0]]), np.array([0.25, 0.75]))[0] == pytest.approx(0.25 + 0.05 * 0.25)


def test_infeasible_candidates_promise_nothing():
    mean, std, known = np.array([0.0, -5.0]), np.ones(2), np.array([1.0, 2.0])
    for kind in ("expected_improvement", "upper_confidence_bound"):
        score = promise(mean, std, known, kind, 1.0, [np.array([1.0, 0.0])])
        assert score[0] > score[1] == 0


def test_only_feasibility_counts_before_anything_is_feasible():
    score = promise(np.zeros(2), np.ones(2), np.zeros(0), "expected_improvement", 1.0, [np.array([0.2, 0.7])])
    assert score.tolist() == [0.2, 0.7]


def test_feasibility_alone_forgets_the_loss():
    chances = [np.array([0.5, 0.9]), np.array([1.0, 0.5])]
    score = promise(np.array([-9.0, 9.0]), np.ones(2), np.array([0.0]), "probability_of_feasibility", 1.0, chances)
    assert score == pytest.approx([0.5, 0.45])
