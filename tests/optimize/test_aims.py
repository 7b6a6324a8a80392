"""Directions, windows and limits as Optuna is told of them."""

from __future__ import annotations

import numpy as np
import pytest

from matgen.errors import ConfigError
from matgen.optimize.aims import Aim, Limit, as_aims, as_limits


def test_window_is_a_distance():
    aim = Aim(property="band_gap", goal="window", low=1.0, high=2.0)
    assert [aim.value(v) for v in (0.5, 1.5, 2.25)] == [0.5, 0.0, 0.25]
    assert aim.direction == "minimize"


def test_loss_is_small_where_good():
    assert Aim(property="k", goal="maximise").loss(np.array([1.0, 3.0])).tolist() == [-1.0, -3.0]
    assert Aim(property="k", goal="maximise").direction == "maximize"


def test_limit_is_positive_where_broken():
    limit = Limit(property="e", low=0.0, high=1.0)
    assert limit.violation(1.5) == 0.5
    assert limit.violation(-0.25) == 0.25
    assert limit.violation(0.5) <= 0


@pytest.mark.parametrize(
    ("spelling", "place"),
    [
        ({"property": "e", "goal": "lowest"}, "objectives.0.goal"),
        ({"property": "e", "goal": "window", "low": 1.0}, "objectives.0"),
        ({"property": "e", "weight": 1.0}, "objectives.0.weight"),
    ],
)
def test_bad_aims_name_the_place(spelling, place):
    with pytest.raises(ConfigError) as caught:
        as_aims([spelling])
    assert caught.value.where == place


def test_nothing_to_optimise_is_refused():
    with pytest.raises(ConfigError, match="nothing to optimise"):
        as_aims([])
    with pytest.raises(ConfigError, match="needs low or high"):
        as_limits([{"property": "e"}])
