import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.stability.neighbours import edges_within, pairs_at


def _edges(structures, cutoff):
    starts = np.cumsum([0, *map(len, structures)])
    positions = np.concatenate([s.cart_coords for s in structures])
    cells = np.stack([s.lattice.matrix for s in structures])
    return edges_within(cutoff, positions, cells, starts), positions, cells


@pytest.mark.parametrize(("cutoff", "n"), [(2.9, 6), (4.1, 18)])
def test_rock_salt_has_its_coordination_shells(rocksalt, cutoff, n):
    edges, _, _ = _edges([rocksalt], cutoff)
    ends = np.concatenate([edges.i, edges.j])
    assert np.bincount(ends).tolist() == [n, n]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_each_pair_is_listed_once_at_its_distance(seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(3, 7, 3), *rng.uniform(60, 120, 3))
    structures = [Structure(lattice, ["Na"] * n, rng.random((n, 3))) for n in (1, 3)]
    edges, positions, cells = _edges(structures, 5.0)
    vectors = positions[edges.j] + np.einsum("ei,eij->ej", edges.image, cells[edges.system]) - positions[edges.i]
    expected = [s.get_neighbor_list(5.0)[3] for s in structures]
    assert len(edges) == sum(map(len, expected)) / 2
    both = np.repeat(np.linalg.norm(vectors, axis=1), 2)
    assert np.allclose(np.sort(both), np.sort(np.concatenate(expected)))


@given(st.lists(st.integers(0, 4), max_size=12))
def test_pairs_are_all_ordered_pairs_of_bonds_at_an_atom(centres):
    first, second = pairs_at(np.array(centres, dtype=int), 5)
    n = len(centres)
    expected = {(a, b) for a in range(n) for b in range(n) if a != b and centres[a] == centres[b]}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert len(first) == len(expected)
