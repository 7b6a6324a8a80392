"""Occupations and their subspaces: known structure types, and projections on all space groups."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.data.symmetry import space_group_number
from matgen.features.observed_occupations import observed
from matgen.features.occupation import OPEN, Occupation, Subspace
from matgen.features.occupation_building import pattern
from matgen.features.wyckoff import positions


def subspace(group: int, seed: int) -> Subspace:
    """A random occupation of the two most general of the smaller positions."""
    rng = np.random.default_rng(seed)
    letters = [p.letter for p in positions(group) if p.multiplicity <= 12][-2:] or [positions(group)[-1].letter]
    letters = [letters[i] for i in rng.integers(len(letters), size=2)] if positions(group)[-1].free else letters
    fixed = {p.letter for p in positions(group) if not p.free}
    letters = [x for i, x in enumerate(letters) if x not in fixed or x not in letters[:i]]
    occupation = Occupation(group, tuple((3 + i, letter) for i, letter in enumerate(letters)))
    return Subspace.draw(occupation, 20.0 * len(occupation.numbers), rng)


@settings(max_examples=60, deadline=None)
@given(group=st.integers(1, 230), seed=st.integers(0, 2**32 - 1))
def test_projection_is_idempotent_and_leaves_the_symmetry_exact(group, seed):
    space = subspace(group, seed)
    rng = np.random.default_rng(seed)
    frac = space.project_frac(space.origin + 0.3 * rng.normal(size=space.origin.shape))
    cell = space.project_cell(space.cell @ (np.eye(3) + 0.2 * rng.normal(size=(3, 3))))
    assert np.allclose(space.project_frac(frac), frac, atol=1e-9)
    assert np.allclose(space.project_cell(cell) @ space.project_cell(cell).T, cell @ cell.T, atol=1e-8)
    for rotation, translation, image in zip(space.rotations, space.translations, space.images, strict=True):
        gap = frac @ rotation.T + translation - frac[image]
        assert np.abs(gap - gap.round()).max() < 1e-8
        assert np.allclose(rotation.T @ cell @ cell.T @ rotation, cell @ cell.T, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(group=st.integers(1, 230), seed=st.integers(0, 2**32 - 1))
def test_the_projected_cell_keeps_its_volume_and_is_the_nearest_of_those_tried(group, seed):
    space = subspace(group, seed)
    rng = np.random.default_rng(seed)
    noisy = space.cell @ (np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
    projected = space.project_cell(noisy)
    assert abs(np.linalg.det(projected)) == pytest.approx(abs(np.linalg.det(noisy)), rel=1e-8)
    moved = space.origin + 0.2 * rng.normal(size=space.origin.shape)
    rest = (moved - space.project_frac(moved)) @ space.cell
    other = space.project_frac(space.origin + rng.normal(size=space.origin.shape))
    along = (other - space.project_frac(moved)) @ space.cell
    assert abs((rest * along).sum()) < 1e-6 * max(1.0, np.abs(along).max())


def test_rock_salt_and_perovskite_come_out_of_their_letters():
    rng = np.random.default_rng(0)
    salt = Subspace.draw(Occupation(225, ((11, "a"), (17, "b"))), 45.0, rng)
    assert len(salt.origin) == 2
    made = Structure(Lattice(salt.cell), [11, 17], salt.origin)
    assert space_group_number(made, 0.01) == 225
    assert np.allclose(made.lattice.angles, 60)
    cubic = Subspace.draw(Occupation(221, ((38, "a"), (22, "b"), (8, "c"))), 60.0, rng)
    assert cubic.occupation.numbers.tolist() == [38, 22, 8, 8, 8]
    assert np.allclose(cubic.project_cell(cubic.cell * 1.1), np.eye(3) * (60.0 ** (1 / 3)) * 1.1)


@pytest.mark.parametrize("group", [14, 62, 139, 166, 194, 227])
def test_spglib_finds_the_group_and_the_letters(group):
    letters = [p.letter for p in positions(group) if p.multiplicity <= 12][-1:] * 2
    letters += [positions(group)[-1].letter]
    occupation = Occupation(group, tuple((3 + 5 * i, x) for i, x in enumerate(letters)))
    space = Subspace.draw(occupation, 20.0 * len(occupation.numbers), np.random.default_rng(1))
    data = spglib.get_symmetry_dataset((space.cell, space.origin, occupation.numbers), symprec=0.01)
    assert data.number == group
    # Equivalent settings may rename a letter; multiplicities and the number of orbits stay.
    assert len(set(data.crystallographic_orbits)) == len(letters)


def test_undecided_elements_go_together_by_their_label():
    occupation = Occupation(221, ((-1, "a"), (-2, "b"), (-1, "c")))
    assert occupation.numbers.tolist() == [OPEN] * 5
    assert occupation.kinds.tolist() == [0, 1, 0, 0, 0]


def test_observed_patterns_count_atoms_of_the_primitive_cell():
    first = observed(225)[0]
    assert first.letters == (("a",), ("b",), ("c",))
    assert sorted(first.amounts) == [1, 1, 2]
    assert all(sum(p.amounts) <= 20 for p in observed(62))
    assert observed(62)[0].count >= observed(62)[-1].count > 0


def test_patterns_name_letters_by_element_and_no_element():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert pattern(salt) == (225, "a|b")
    perovskite = Structure(
        Lattice.cubic(3.9),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    assert pattern(perovskite) in {(221, "a|b|c"), (221, "a|b|d")}
    assert pattern(Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.001]])) is None
