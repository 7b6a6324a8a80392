"""Crystals by symmetry: known descriptions, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from matgen.data.symmetry import space_group_number
from matgen.features.conventional_cell import cell_parameters, free_angles, free_lengths
from matgen.features.symmetric import Orbit, SymmetricCrystal, canonical_order, element_order, polar_axes
from matgen.features.wyckoff import centring, position, positions


def rock_salt() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_rock_salt_is_two_orbits_without_freedom() -> None:
    found = SymmetricCrystal.of(rock_salt())
    assert found is not None
    assert (found.group, found.orbits) == (225, (Orbit(12, "a"), Orbit(8, "b")))
    assert found.cell == pytest.approx((4.2, 4.2, 4.2, 90, 90, 90))
    assert found.counts == {12: 1, 8: 1}


def test_the_description_does_not_depend_on_cell_and_origin() -> None:
    moved = rock_salt().translate_sites(list(range(8)), [0.13, 0.21, 0.37], to_unit_cell=True)
    moved.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    assert SymmetricCrystal.of(moved).orbits == SymmetricCrystal.of(rock_salt()).orbits  # type: ignore[union-attr]


def test_rutile_has_one_free_coordinate() -> None:
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    found = SymmetricCrystal.of(rutile)
    assert found is not None
    assert [(orbit.element, orbit.letter) for orbit in found.orbits] == [(22, "a"), (8, "f")]
    values = np.array(found.orbits[1].values)
    assert min(values % 0.5, 0.5 - values % 0.5) == pytest.approx(0.195)  # 0.305 or its image
    assert StructureMatcher().fit(found.structure(), rutile)


def test_a_polar_axis_has_its_origin_at_the_first_orbit() -> None:
    wurtzite = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0.17], [1 / 3, 2 / 3, 0.55]]
    )
    found = SymmetricCrystal.of(wurtzite)
    assert found is not None
    assert polar_axes(186) == (2,)
    assert found.orbits[0].values == pytest.approx((0.0,), abs=1e-6)


def test_elements_rise_in_electronegativity() -> None:
    assert element_order()[19] < element_order()[22] < element_order()[8] < element_order()[9]
    orbits = canonical_order(225, [Orbit(8, "b"), Orbit(12, "a")])
    assert [orbit.element for orbit in orbits] == [12, 8]


@pytest.mark.parametrize("group", [1, 2, 14, 43, 62, 123, 148, 166, 186, 194, 216, 227, 230])
def test_each_position_is_solved_for_its_free_values(group: int) -> None:
    for at in positions(group):
        values = np.array([0.137, 0.291, 0.433])[: len(at.free)]
        sites = at.orbit(values)
        solved = at.solve(sites @ centring(group).T, 1e-3)
        assert solved is not None
        again = at.orbit(solved)
        gap = again[:, None] - sites
        assert np.abs(gap - gap.round()).max(-1).min(0).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(group=st.integers(1, 230), seed=st.integers(0, 2**20))
def test_there_and_back_is_the_same_crystal(group: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    last = positions(group)[-1]
    size = max(4.0, (12.0 * last.multiplicity * 3) ** (1 / 3))
    lengths = size * rng.uniform(0.9, 1.3, len(free_lengths(group)))
    angles = rng.uniform(80, 100, len(free_angles(group)))
    orbits = [Orbit(z, last.letter, tuple(rng.random(3))) for z in (8, 22)]
    crystal = SymmetricCrystal(
        group, canonical_order(group, orbits), cell_parameters(group, list(lengths), list(angles))
    )
    made = crystal.structure()
    if made.distance_matrix[~np.eye(len(made), dtype=bool)].min(initial=9.0) < 0.3:
        return
    found = SymmetricCrystal.of(made)
    if found is None or found.group != group:  # two general orbits may by chance be more symmetric than the group
        return
    again = found.structure()
    assert len(again) == len(made)
    assert space_group_number(again, 0.01) == group
    assert sorted(found.occupation.orbits) == sorted(crystal.occupation.orbits)
    assert position(group, last.letter).multiplicity * 2 == len(again)
    assert again.volume == pytest.approx(made.volume, rel=1e-3)
