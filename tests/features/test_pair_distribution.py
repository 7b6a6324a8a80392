"""Pair distributions: what they count, and what they do not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.features.pair_distribution import CENTRES, FARTHEST, distances_between, pairs

SPECIES = np.array([0, 1, 2, 2, 2])


def test_rock_salt_neighbours(rocksalt):
    found = pairs(rocksalt, np.array([0, 1]))
    # In units of the cube root of the volume per atom the cation-anion distance of rock salt is 1.
    assert found.nearest == pytest.approx(np.array([[np.sqrt(2), 1.0], [1.0, np.sqrt(2)]]), abs=1e-6)
    shell = np.abs(CENTRES - 1.0) < 0.3
    spacing = CENTRES[1] - CENTRES[0]
    cut = 0.5 * (1 + np.cos(np.pi / FARTHEST))
    neighbours = found.distribution[0, 1][shell].sum() * spacing / (0.12 * np.sqrt(2 * np.pi)) / cut
    assert neighbours == pytest.approx(6, rel=0.05)
    assert found.distribution[0, 0][CENTRES < 1.1].sum() < 0.05


@settings(max_examples=20, deadline=None)
@given(shift=st.tuples(*[st.floats(0, 1)] * 3), scale=st.floats(0.5, 3.0), cell=st.permutations([0, 1, 2]))
def test_invariance(perovskite_structure, shift, scale, cell):
    moved = Structure(
        Lattice(perovskite_structure.lattice.matrix[cell] * scale),
        perovskite_structure.species,
        (perovskite_structure.frac_coords + shift)[:, cell],
    )
    before, after = pairs(perovskite_structure, SPECIES), pairs(moved, SPECIES)
    assert after.distribution == pytest.approx(before.distribution, abs=1e-4)
    assert after.nearest == pytest.approx(before.nearest, abs=1e-6)


def test_supercell_looks_the_same(perovskite):
    larger = perovskite.make_supercell([2, 1, 1], in_place=False)
    labels = np.array([["Sr", "Ti", "O"].index(site.specie.symbol) for site in larger])
    assert pairs(larger, labels).distribution == pytest.approx(pairs(perovskite, SPECIES).distribution, abs=1e-4)


def test_distances_are_those_of_the_differences():
    rows = np.random.default_rng(0).random((4, 2, 2, 3))
    found = distances_between(rows)
    assert found[1, 3] == pytest.approx(np.sqrt(((rows[1] - rows[3]) ** 2).mean()))
    assert np.diag(found) == pytest.approx(np.zeros(4), abs=1e-6)


@pytest.fixture(scope="module")
def perovskite_structure():
    sites = [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], sites)
