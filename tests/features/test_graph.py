"""Neighbour graphs against crystals known by hand, and their invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.errors import DataError
from matgen.features.graph import FARTHEST, orbits, to_graph


def shells(graph, receiver: int) -> list[tuple[float, int]]:
    lengths = graph.vector[graph.edge_index[1] == receiver].norm(dim=1).numpy()
    values, counts = np.unique(lengths.round(3), return_counts=True)
    return [(float(v), int(c)) for v, c in zip(values, counts, strict=True)]


def test_rocksalt_shells(rocksalt):
    graph = to_graph(rocksalt, neighbours=12)
    a = 3.99 * 2**0.5
    assert graph.num_nodes == 2
    for node in range(2):
        assert shells(graph, node) == [
            (pytest.approx(a / 2, abs=2e-3), 6),
            (pytest.approx(a / 2**0.5, abs=2e-3), 12),
        ]


def test_diamond_is_one_orbit(diamond):
    graph = to_graph(diamond, neighbours=4)
    assert graph.num_nodes == 1
    assert shells(graph, 0) == [(pytest.approx(3.867 * 2**0.5 * 3**0.5 / 4, abs=2e-3), 4)]
    assert graph.edge_index.max() == 0


def test_perovskite_orbits_and_weights(perovskite):
    graph = to_graph(perovskite)
    assert graph.numbers.tolist() == [38, 22, 8]
    np.testing.assert_allclose(graph.weight, [0.2, 0.2, 0.6])
    assert graph.volume.item() == pytest.approx(3.905**3 / 5, rel=1e-5)


def test_edges_are_sorted_by_receiver_and_have_no_loops_of_length_zero(perovskite):
    graph = to_graph(perovskite)
    assert (graph.edge_index[1].diff() >= 0).all()
    assert (graph.vector.norm(dim=1) > 0.5).all()


def test_supercell_has_the_same_graph(perovskite):
    once, eight = to_graph(perovskite), to_graph(perovskite * (2, 2, 2))
    assert once.num_nodes == eight.num_nodes
    assert once.num_edges == eight.num_edges
    np.testing.assert_allclose(
        np.sort(once.vector.norm(dim=1)), np.sort(eight.vector.norm(dim=1)), rtol=1e-5, atol=1e-5
    )


def test_lonely_atom_has_no_edges_or_distant_ones():
    graph = to_graph(Structure(Lattice.cubic(30), ["He"], [[0, 0, 0]]))
    assert graph.num_nodes == 1
    assert graph.num_edges == 0
    far = to_graph(Structure(Lattice.cubic(FARTHEST - 1), ["He"], [[0, 0, 0]]))
    assert far.num_edges == 6


def test_disorder_is_refused():
    structure = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(DataError, match="ordered"):
        to_graph(structure)


def test_atoms_on_one_spot_have_orbits_of_their_own():
    structure = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-5]])
    assert orbits(structure).tolist() == [0, 1]


def node_of_each_atom(structure):
    """Equivalent atoms share one node."""
    orbit = orbits(structure)
    return np.searchsorted(np.unique(orbit), orbit)


@settings(deadline=None, max_examples=25)
@example(75, 2)  # two atoms of one element, which inversion makes equivalent
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_rotation_translation_and_order_change_nothing(seed, n):
    rng = np.random.default_rng(seed)
    lattice = Lattice(np.eye(3) * 4 + rng.normal(0, 0.4, (3, 3)))
    structure = Structure(lattice, list(rng.integers(1, 80, n)), rng.random((n, 3)))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = rng.permutation(n)
    moved = Structure(
        Lattice(lattice.matrix @ turn),
        [structure[int(i)].specie for i in order],
        structure.frac_coords[order] + rng.random(3),
    )
    one, other = to_graph(structure), to_graph(moved)
    assert one.num_edges == other.num_edges
    here, there = node_of_each_atom(structure), node_of_each_atom(moved)
    for atom in range(n):
        nodes = (one, here[atom]), (other, there[int(np.flatnonzero(order == atom)[0])])
        a, b = (g.vector[g.edge_index[1] == node].norm(dim=1).sort()[0] for g, node in nodes)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
