"""Random symmetric crystals: the battery, and the space group that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.data.symmetry import space_group_number
from matgen.elements import covalent_radius
from matgen.errors import ConfigError
from matgen.features.distances import shortest_distances
from matgen.generators.occupations import fill
from matgen.generators.random_symmetric import CLOSEST, OVERLAP, RandomSymmetric, _arranged
from matgen.runtime import Streams
from matgen.testing import check_generator

SYSTEMS = [1, 2, 4, 12, 14, 15, 19, 33, 62, 63, 71, 88, 99, 122, 129, 139, 141, 143, 148, 160, 166, 167, 173, 186, 194]
CUBIC = [198, 216, 221, 225, 227]


def _draw(constraints=(), **asked):
    rng = Streams(0, "random-symmetric")
    return from_batch(RandomSymmetric(max_atoms=12).sample(Request(**asked), rng=rng, constraints=constraints))


def test_battery_of_random_crystals():
    check_generator(RandomSymmetric(max_atoms=10), n=2)


@pytest.mark.parametrize("group", SYSTEMS + CUBIC)
def test_the_space_group_is_the_one_asked_for(group):
    for structure in _draw(n=2, space_group=group):
        assert space_group_number(structure, 0.01) == group
        distance = shortest_distances(structure.frac_coords, structure.lattice.matrix)
        assert distance.min() > 0.5


def test_masks_are_met():
    neutral = build_constraints(["charge_neutral", {"n_elements": {"low": 2, "high": 3}}], role="mask")
    for structure in _draw(n=4, constraints=neutral):
        assert all(c.check([structure]).passed[0] for c in neutral)


def test_required_elements_are_drawn_and_attempts_counted():
    rules = build_constraints([{"required_elements": {"required": ["O", "Ti"]}}, {"n_atoms": {"high": 8}}], role="mask")
    batch = RandomSymmetric(max_atoms=12).sample(Request(n=4), rng=Streams(1, "x"), constraints=rules)
    made = from_batch(batch)
    assert all(rule.check(made).passed.all() for rule in rules)
    assert {len(s.composition) for s in made} <= {2, 3, 4}
    assert (batch.attempts >= 1).all()
    (formula,) = build_constraints([{"formula": {"formula": "SrTiO3"}}], role="mask")
    assert formula.check(_draw([formula], n=2)).passed.all()


@pytest.mark.parametrize("group", [1, 14, 62, 129, 166, 194, 227])
def test_openness_found_orbit_by_orbit_is_that_of_the_whole_crystal(group):
    rng = np.random.default_rng(group)
    filled = [found for found in (fill(group, [(0, 12)], rng) for _ in range(20)) if found]
    assert len(filled) > 5
    for places in filled:
        orbits = [(int(rng.choice([1, 8, 55])), position) for _, position in places]
        openness, made = _arranged(group, orbits, 0.1, rng)
        radii = covalent_radius()[list(made.atomic_numbers)]
        summed = np.maximum(radii[:, None] + radii, OVERLAP / CLOSEST)
        assert openness == pytest.approx((shortest_distances(made.frac_coords, made.lattice.matrix) / summed).min())


def test_few_drawings_are_needed_for_open_crystals():
    batch = RandomSymmetric().sample(Request(n=20), rng=Streams(0, "open"))
    for structure in from_batch(batch):
        radii = covalent_radius()[list(structure.atomic_numbers)]
        distance = shortest_distances(structure.frac_coords, structure.lattice.matrix)
        assert (distance >= CLOSEST * (radii[:, None] + radii) - 1e-6).all()
    assert batch.attempts.sum() < 20 * 20


def test_impossible_arrangements_are_refused():
    with pytest.raises(ConfigError, match="Wyckoff positions"):
        # Primitive cells of 227 hold 2, 4, 6, 8 ... atoms.
        RandomSymmetric(tries=2).sample(Request(n_atoms=3, space_group=227), rng=Streams(0, "x"))
    with pytest.raises(ConfigError, match="fits the request"):
        _draw(formula="Ca10P6O26H2")
