"""The graph network: invariances, and that it sees angles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Composition, Lattice, Structure
from torch_geometric.data import Batch

from matgen.features import graph as features
from matgen.features.graph import to_graph
from matgen.surrogates.network import GraphNetwork, harmonics
from matgen.surrogates.regions import CLOSED, METALLIC, METALLOIDS, OTHERS
from matgen.surrogates.storage import load_surrogate


@pytest.fixture(scope="module")
def network() -> GraphNetwork:
    torch.manual_seed(0)
    return GraphNetwork(width=24, angular=4, layers=2).eval()


def output(network: GraphNetwork, *structures: Structure) -> np.ndarray:
    with torch.no_grad():
        return network(Batch.from_data_list([to_graph(s) for s in structures]))[0].numpy()


def test_harmonics_have_constant_length_and_are_orthogonal():
    """Addition theorem: each degree has sum of squares 1; over the sphere the components are orthogonal."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=generator, dtype=torch.float64), dim=1)
    y = harmonics(direction)
    torch.testing.assert_close(y[:, :3].square().sum(1), torch.ones(len(y), dtype=torch.float64))
    torch.testing.assert_close(y[:, 3:].square().sum(1), torch.ones(len(y), dtype=torch.float64))
    gram = y.T @ y / len(y)
    expected = torch.diag(torch.tensor([1 / 3] * 3 + [1 / 5] * 5, dtype=torch.float64))
    torch.testing.assert_close(gram, expected, atol=5e-3, rtol=0)


def test_rotation_supercell_and_reflection_change_nothing(network, perovskite):
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moves = 0.1 * rng.normal(size=(5, 3))
    rattled = Structure(perovskite.lattice, perovskite.species, perovskite.frac_coords + moves / 4)
    turned = Structure(Lattice(rattled.lattice.matrix @ turn), rattled.species, rattled.frac_coords)
    one, other, larger = output(network, rattled, turned, rattled * (1, 1, 2))
    assert other == pytest.approx(one, abs=1e-4)
    assert larger == pytest.approx(one, abs=1e-4)


def test_asymmetric_unit_equals_all_atoms(network, perovskite, monkeypatch):
    """One node an orbit gives what one node an atom gives."""
    unit = output(network, perovskite)
    monkeypatch.setattr(features, "orbits", lambda structure: np.arange(len(structure)))
    assert features.to_graph(perovskite).num_nodes == 5
    assert output(network, perovskite) == pytest.approx(unit, abs=1e-5)


def test_sees_angles_at_equal_distances(network):
    """Straight and bent chains with equal bond lengths differ only in their angles."""

    def chain(angle: float) -> Structure:
        lattice = Lattice.cubic(14)
        arm = 1.6 * np.array([[np.cos(angle), np.sin(angle), 0], [1, 0, 0]])
        coords = np.array([[7, 7, 7], [7, 7, 7] + arm[0], [7, 7, 7] + arm[1]])
        return Structure(lattice, ["O", "H", "H"], coords, coords_are_cartesian=True)

    straight, bent = output(network, chain(np.pi), chain(np.pi * 0.58))
    assert abs(straight - bent) > 1e-4


def test_gradients_are_finite_even_without_edges(network):
    lonely = Batch.from_data_list([to_graph(Structure(Lattice.cubic(40), ["Ar"], [[0, 0, 0]]))])
    mean, log_scale, _ = network(lonely)
    (mean.sum() + log_scale.sum()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
    network.zero_grad()


def test_an_intermetallic_with_a_predicted_gap_is_not_as_certain_as_the_metals():
    materials = [Composition(f) for f in ("Ni3Al", "Ni3Al", "SiC", "SiC", "MgO", "ZrNiSn")]
    means = np.array([0.0, 0.6, 0.0, 1.4, 4.0, 0.0])
    gap = load_surrogate("band-gap-graph")
    assert gap.regions_of(materials, means).tolist() == [OTHERS, CLOSED, METALLOIDS, CLOSED, "oxides", CLOSED]
    assert CLOSED not in gap.errors.regions  # so it takes the scale of all, which is wider
    assert max(gap.errors.regions[name] for name in METALLIC) < gap.errors.scale
    energy = load_surrogate("formation-energy-graph")  # has no lower bound at which metals could lie
    assert energy.regions_of(materials, means).tolist() == energy.regions(materials).tolist()
