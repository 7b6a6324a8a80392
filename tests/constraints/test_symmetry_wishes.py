"""Wishes for symmetry as projections of crystals and of occupations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from matgen.constraints.specification import build_constraints
from matgen.constraints.symmetry import CrystalSystem, SpaceGroup
from matgen.constraints.wyckoff import WyckoffPositions
from matgen.data.structures import from_batch, to_batch
from matgen.data.symmetry import find_symmetry, space_group_number
from matgen.features.occupation import Occupation

if TYPE_CHECKING:
    from pymatgen.core import Structure


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def distorted(structure: Structure) -> Structure:
    moved = structure.copy()
    moved.translate_sites([2], [0.01, 0.004, 0.02], frac_coords=True)
    return moved


def test_a_nearly_cubic_crystal_is_projected_on_its_group(perovskite):
    (made,) = from_batch(SpaceGroup((221,)).project(to_batch([distorted(perovskite)])))
    assert space_group_number(distorted(perovskite), 0.01) < 221
    assert space_group_number(made, 0.01) == 221
    (again,) = from_batch(CrystalSystem(("cubic",)).project(to_batch([made])))
    assert again == made


def test_a_crystal_far_from_the_wish_stays_as_it_is_and_fails(rocksalt):
    wish = SpaceGroup((62,))
    (made,) = from_batch(wish.project(to_batch([rocksalt])))
    assert made == rocksalt
    assert wish.check([made]).reasons == ("the space group is Fm-3m (225) at 0.1 Å, wanted Pnma (62)",)


def test_wyckoff_positions_are_kept_by_the_projection(perovskite):
    near = distorted(perovskite)
    letters = {str(s.specie): at for s, at in zip(perovskite, _letters(perovskite), strict=True)}
    right = WyckoffPositions(required=(f"Ti {letters['Ti']}",), space_group=221)
    wrong = WyckoffPositions(required=("Ti c",), space_group=221)
    assert right.check(from_batch(right.project(to_batch([near])))).passed.all()
    assert from_batch(wrong.project(to_batch([near])))[0] == near


def _letters(structure):
    found = find_symmetry(structure)
    assert found is not None
    return found.letters


def test_groups_that_have_the_required_positions():
    assert WyckoffPositions(required=("Ti b",), space_group=221).groups == {221}
    named = WyckoffPositions(required=("O i",)).groups
    assert 1 not in named
    assert 62 not in named  # its letters end with d
    assert {123, 221} <= named
    assert CrystalSystem(("cubic",)).groups == frozenset(range(195, 231))


def test_an_open_kind_of_orbits_becomes_the_required_element(rng):
    wish = WyckoffPositions(required=("Ti b",), allowed=("O c",), space_group=221)
    opened = Occupation(221, ((-1, "a"), (-2, "b"), (-3, "c")))
    assert wish.settle(opened, rng) == Occupation(221, ((-1, "a"), (22, "b"), (-3, "c")))
    assert wish.settle(Occupation(221, ((38, "a"), (22, "b"), (8, "c"))), rng) is not None
    assert wish.settle(Occupation(221, ((22, "a"), (38, "b"), (8, "c"))), rng) is None
    assert wish.settle(Occupation(221, ((38, "a"), (22, "b"), (8, "d"))), rng) is None
    assert wish.settle(Occupation(123, ((-1, "b"),)), rng) is None


def test_entries_for_any_element_look_at_all_positions(rng):
    wish = WyckoffPositions(required=("* a",), allowed=("* ac",))
    assert wish.settle(Occupation(225, ((-1, "a"), (-2, "c"))), rng) is not None
    assert wish.settle(Occupation(225, ((-1, "a"), (-2, "b"))), rng) is None
    assert wish.settle(Occupation(225, ((-1, "c"),)), rng) is None


def test_a_projection_can_be_asked_for_by_name():
    (wish,) = build_constraints([{"space_group": {"numbers": [62], "roles": ["project"]}}], role="project")
    assert wish.acts_as("project")
    assert not wish.acts_as("check")
