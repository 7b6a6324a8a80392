"""Desirability against values by hand, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from matgen.optimize.objective import Objective

LOW_HULL = Objective(property="e_above_hull", goal="minimise", low=0.0, high=0.1)
STRONG = Objective(property="bulk_modulus", goal="maximise", low=100.0, high=300.0, shape=2.0)
GAP = Objective(property="band_gap", goal="target", low=1.0, high=2.0, tolerance=0.5)
finite = st.floats(-1e3, 1e3)
objectives = st.sampled_from([LOW_HULL, STRONG, GAP])


@pytest.mark.parametrize(
    ("objective", "values", "expected"),
    [
        (LOW_HULL, [-0.02, 0.0, 0.025, 0.1, 5.0, np.nan], [1, 1, 0.75, 0, 0, 0]),
        (STRONG, [50, 100, 200, 300, 400, np.nan], [0, 0, 0.25, 1, 1, 0]),
        (GAP, [0.4, 0.75, 1.0, 1.5, 2.0, 2.1, 2.5, np.nan], [0, 0.5, 1, 1, 1, 0.8, 0, 0]),
    ],
)
def test_desirability_by_hand(objective, values, expected):
    assert objective.desirability(np.array(values)) == pytest.approx(expected)


def test_an_uncertain_value_counts_as_the_worst_within_caution():
    mean, std = np.array([0.05, 1.5, 1.2, 1.8]), np.array([0.01, 0.2, 0.4, 0.4])
    assert LOW_HULL.pessimistic(mean, std) == pytest.approx([0.06, 1.7, 1.6, 2.2])
    assert STRONG.pessimistic(mean, std) == pytest.approx([0.04, 1.3, 0.8, 1.4])
    assert GAP.pessimistic(mean, std) == pytest.approx([0.05 - 0.01, 1.7, 0.8, 2.2])
    assert GAP.model_copy(update={"caution": 0.0}).pessimistic(mean, std) == pytest.approx(mean)


@given(objectives, finite, st.floats(0, 10))
def test_doubt_never_helps(objective, mean, std):
    doubtful = objective.desirability(objective.pessimistic(np.array([mean]), np.array([std])))
    assert 0 <= doubtful[0] <= objective.desirability(np.array([mean]))[0] <= 1


@given(objectives, finite, finite)
def test_less_loss_is_never_less_desirable(objective, a, b):
    loss, desirability = objective.loss(np.array([a, b])), objective.desirability(np.array([a, b]))
    if loss[0] <= loss[1]:
        assert desirability[0] >= desirability[1]


def test_a_missing_value_loses_to_all():
    for objective in (LOW_HULL, STRONG, GAP):
        assert objective.loss(np.array([np.nan]))[0] == np.inf


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 2.0},
        {"low": 1.0},
        {"goal": "target"},
        {"tolerance": 0.1},
        {"goal": "biggest"},
        {"weight": 0.0},
        {"hihg": 1.0},
        {"low": "0"},
        {"high": float("inf")},
        {"unfamiliar": 1.5},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    sound = {"property": "e_above_hull", "goal": "minimise", "low": 0.0, "high": 1.0}
    Objective(**sound)
    with pytest.raises(ValidationError):
        Objective(**{**sound, **wrong})
