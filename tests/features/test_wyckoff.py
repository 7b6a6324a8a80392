"""Wyckoff positions: multiplicities, known letters, and the cells of crystal systems."""

from __future__ import annotations

import numpy as np
import pytest

from matgen.features.conventional_cell import cell_parameters, free_angles, free_lengths
from matgen.features.wyckoff import centring, operations, position, positions


@pytest.mark.parametrize("group", range(1, 231))
def test_every_position_has_as_many_sites_as_its_multiplicity(group):
    rng = np.random.default_rng(group)
    for place in positions(group):
        orbit = place.orbit(rng.random(len(place.free)))
        assert orbit.shape == (place.multiplicity, 3)
        gap = orbit[:, None] - orbit
        apart = np.abs(gap - gap.round()).max(-1) + np.eye(len(orbit))
        assert apart.min() > 1e-4
    order = len(operations(group)[0]) * abs(np.linalg.det(centring(group)))
    assert positions(group)[-1].multiplicity == round(order)
    assert len(positions(group)[-1].free) == 3


def test_known_positions():
    assert [p.letter for p in positions(221)][:3] == ["a", "b", "c"]
    assert position(221, "c").multiplicity == 3
    assert position(225, "c").coordinates == "1/4,1/4,1/4"
    assert position(225, "c").multiplicity == 2  # 8 in the conventional cell
    np.testing.assert_allclose(sorted(position(227, "a").orbit(np.zeros(0))[:, 0]), [0.125, 0.875])
    assert len(positions(47)) == 27
    assert positions(47)[-1].letter == "A"


def test_cells_of_crystal_systems():
    assert cell_parameters(225, [4.0], []) == (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)
    assert cell_parameters(194, [3.0, 5.0], []) == (3.0, 3.0, 5.0, 90.0, 90.0, 120.0)
    assert cell_parameters(14, [3.0, 4.0, 5.0], [100.0]) == (3.0, 4.0, 5.0, 90.0, 100.0, 90.0)
    assert (free_lengths(2), free_angles(2)) == ((0, 1, 2), (0, 1, 2))
