"""Coordination, dimensionality, cell shape, Wyckoff positions, bond valences: known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals import crystals
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.dimensionality import get_dimensionality_larsen
from pymatgen.analysis.graphs import StructureGraph
from pymatgen.core import Lattice, Structure

from matgen.constraints.bond_valence import BondValence, bond_lengths, valences
from matgen.constraints.cell_shape import CellShape
from matgen.constraints.coordination import Coordination
from matgen.constraints.dimensionality import Dimensionality, dimension
from matgen.constraints.wyckoff import WyckoffPositions
from matgen.data.structures import from_batch, to_batch
from matgen.elements import number
from matgen.errors import ConfigError
from matgen.features.neighbours import bonds, pairs_within

GRAPHITE = Structure.from_spacegroup(
    "P6_3/mmc", Lattice.hexagonal(2.46, 6.71), ["C", "C"], [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]
)
MOLYBDENITE = Structure.from_spacegroup(
    "P6_3/mmc", Lattice.hexagonal(3.16, 12.29), ["Mo", "S"], [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]]
)
TELLURIUM = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.46, 5.93), ["Te"], [[0.269, 0, 1 / 3]])
NITROGEN = Structure(Lattice.cubic(5.6), ["N", "N"], [[0, 0, 0], [0.12, 0.12, 0.12]])
COPPER = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
OVERLAP = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.01]])


def test_layers_chains_molecules_and_networks(rocksalt, perovskite, diamond):
    found = [dimension(s) for s in (GRAPHITE, MOLYBDENITE, TELLURIUM, NITROGEN, rocksalt, perovskite, diamond, COPPER)]
    assert found == [2, 2, 1, 0, 3, 3, 3, 3]
    assert dimension(OVERLAP) is None
    assert Dimensionality((2,)).check([GRAPHITE, NITROGEN]).reasons == (
        None,
        "the crystal is molecular (0-D), wanted layered (2-D)",
    )


@settings(max_examples=40, deadline=None)
@given(structure=crystals())
def test_dimensionality_is_that_of_pymatgen(structure):
    found = bonds(structure)
    if found is None or len(found[0]) > 120:
        return
    graph = StructureGraph.from_empty_graph(structure)
    for centre, other, image in zip(*(part.tolist() for part in found), strict=True):
        if (centre, [0, 0, 0]) < (other, image):
            graph.add_edge(centre, other, to_jimage=tuple(image), warn_duplicates=False)
    assert dimension(structure) == get_dimensionality_larsen(graph)


@settings(max_examples=40, deadline=None)
@given(structure=crystals())
def test_pairs_within_reach_are_those_of_pymatgen(structure):
    frac, cell = structure.frac_coords + np.array([1, -2, 0]), structure.lattice.matrix
    reach = min(3.0, 1.5 * structure.volume ** (1 / 3))
    centre, other, image = pairs_within(frac, cell, reach)
    distance = np.linalg.norm((frac[other] + image - frac[centre]) @ cell, axis=1)
    expected = structure.get_neighbor_list(reach)[3]
    assert np.allclose(np.sort(distance), np.sort(expected), atol=1e-6)


def test_coordination_numbers(rocksalt, perovskite, diamond):
    by_radii = [Coordination()._by_radii(s).tolist() for s in (rocksalt, perovskite, diamond, COPPER)]
    assert [set(n) for n in by_radii] == [{6}, {12, 6}, {4}, {12}]
    verdict = Coordination(ranges=("Ti 4", "O 2-5")).check([perovskite, OVERLAP])
    assert verdict.reasons[0] == "3 O have 6 neighbours, wanted 2 to 5; Ti has 6 neighbours, wanted 4"
    assert verdict.score[0] == pytest.approx(0.2)
    assert "overlap" in verdict.reasons[1]
    assert Coordination(ranges=("Ti 6",), method="crystal_nn").check([perovskite]).passed[0]


def test_the_penalty_of_coordination_is_what_neighbours_lack_to_the_limit(rocksalt):
    limit, bond = 1.3 * (1.66 + 1.02), 3.99 / np.sqrt(2)
    wanted = [("Na 6", 0.0), ("Na 4", 2 * (limit - bond)), ("Na 8", 2 * (np.sqrt(3) * bond - limit))]
    for ranges, penalty in wanted:
        found = Coordination(ranges=(ranges,)).penalty(to_batch([rocksalt]))
        assert found.item() == pytest.approx(penalty, abs=1e-5)
    assert Coordination(low=7).penalty(to_batch([NITROGEN, OVERLAP]))[1] == pytest.approx(0.5 * (1.66 + 1.02) - 0.04)


def test_atoms_move_down_the_penalty_until_titanium_has_its_six_neighbours(perovskite):
    rule = Coordination(ranges=("Ti 6",))
    shifted = perovskite.copy()
    shifted.translate_sites([1], [0.25, 0.15, 0.15])
    batch = to_batch([shifted])
    assert not rule.check([shifted]).passed[0]
    frac = batch.frac
    for _ in range(40):
        batch.frac = frac.detach().requires_grad_()
        penalty = rule.penalty(batch)
        if penalty.item() == 0:
            break
        (down,) = torch.autograd.grad(penalty.sum(), batch.frac)
        frac = batch.frac - 1.5 * penalty.item() * down / down.square().sum()
    assert rule.check(from_batch(batch.clone().detach())).passed[0]


@given(structure=crystals(), low=st.integers(0, 8), more=st.integers(0, 6), factor=st.floats(0.8, 1.6))
@settings(max_examples=60, deadline=None)
def test_the_penalty_of_coordination_agrees_with_the_check_for_all_settings(structure, low, more, factor):
    rule = Coordination(low=low, high=low + more, factor=factor)
    assert (rule.penalty(to_batch([structure])) == 0).tolist() == rule.check([structure]).passed.tolist()


def test_cell_shape_of_a_needle_a_sheet_and_a_skewed_cell():
    needle = Structure(Lattice.orthorhombic(2, 2, 40), ["H"], [[0, 0, 0]])
    sheet = Structure(Lattice.orthorhombic(5, 5, 1), ["H"], [[0, 0, 0]])
    skewed = Structure(Lattice([[4, 0, 0], [36, 4, 0], [0, 0, 4]]), ["H"], [[0, 0, 0]])
    reasons = CellShape().check([needle, sheet, skewed]).reasons
    assert reasons == (
        "its longest edge is 20.0 times the shortest, more than the allowed 15 times",
        "the cell is 1.00 Å high, less than the allowed 1.5 Å",
        None,
    )
    assert "angle" in CellShape(reduced=False).check([skewed]).reasons[0]
    assert CellShape().penalty(to_batch([needle, sheet, skewed])).tolist() == pytest.approx([20 / 15 - 1, 1 / 3, 0])


def test_wyckoff_letters(perovskite):
    wanted = WyckoffPositions(required=("Ti a",), allowed=("O d",), space_group=221)
    other = WyckoffPositions(required=("Ti b",), allowed=("O c",))
    assert wanted.check([perovskite]).passed[0]
    assert other.check([perovskite]).reasons == (
        "Ti occupies a in Pm-3m (221), wanted on b; O occupies d in Pm-3m (221), allowed are c",
    )
    assert "wanted Fm-3m (225)" in WyckoffPositions(space_group=225).check([perovskite]).reasons[0]
    with pytest.raises(ConfigError, match="names no positions"):
        WyckoffPositions(required=("Ti",))


def test_bond_valence_sums_by_hand(rocksalt):
    length = bond_lengths()[number("Na"), number("Cl")]
    nearest = rocksalt.get_distance(0, 1)
    shells = ((6, 1.0), (8, 3**0.5))  # opposite ions within 6 Å
    total = sum(n * np.exp((length - nearest * factor) / 0.37) for n, factor in shells)
    score = BondValence().check([rocksalt]).score[0]
    assert score == pytest.approx(abs(total - 1), abs=1e-3)


def test_squeezed_salt_is_overbonded_and_the_gradient_widens_it(rocksalt):
    tight = rocksalt.copy()
    tight.scale_lattice(0.5 * tight.volume)
    constraint = BondValence()
    assert "overbonded" in constraint.check([tight]).reasons[0]
    batch = to_batch([tight])
    batch.cell.requires_grad_()
    constraint.penalty(batch).sum().backward()
    assert (batch.cell * batch.cell.grad).sum() < 0


def test_atoms_move_towards_where_their_valence_is_right(perovskite):
    off = perovskite.copy()
    off.translate_sites([1], [0.12, 0, 0], frac_coords=True)
    constraint = BondValence(high=0.15)
    batch = to_batch([off])
    batch.frac.requires_grad_()
    before = constraint.penalty(batch)
    (down,) = torch.autograd.grad(before.sum(), batch.frac)
    batch.frac = batch.frac.detach() - 0.01 * down / down.norm()
    assert constraint.penalty(batch) < before


def test_structures_without_valences_pass_or_not_as_told():
    assert valences((26, 26), "icsd24") is None
    assert BondValence().check([COPPER]).passed[0]
    assert BondValence(others="reject").check([COPPER]).reasons == ("Cu has no oxidation states to compare with",)
