"""Hulls that can be done on paper: E(A) = E(B) = 0 and AB at -1 eV/atom, all in eV/atom."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.stability.energy import EnergyScale
from matgen.stability.hull import hull, is_thin
from matgen.stability.references import COLUMNS, ReferenceTable

SCALE = EnergyScale("toy")


def _table(**energies):
    rows = [(formula, energy, 1, True, "known") for formula, energy in energies.items()]
    return ReferenceTable(pd.DataFrame(rows, columns=list(COLUMNS)), SCALE, "toy")


def _crystal(*species):
    n = len(species)
    return Structure(Lattice.orthorhombic(3 * n, 3, 3), species, [[i / n, 0, 0] for i in range(n)])


def _candidates(energies, *structures, column="energy", scale="toy/none"):
    table = pd.DataFrame({"id": [f"c{i}" for i in range(len(structures))], column: energies, "energy_scale": scale})
    return Candidates(table, list(structures))


@pytest.fixture
def binary():
    return _table(Na=0.0, Cl=0.0, NaCl=-1.0)


def test_on_the_hull_above_it_and_below_it(binary):
    # At Na3Cl the hull is half of NaCl: -0.5 eV/atom.
    na3cl = _crystal("Na", "Na", "Na", "Cl")
    done = hull(_candidates([-0.5, -0.2, -0.6], na3cl, na3cl, na3cl), binary)
    assert done.table["e_above_hull"].tolist() == pytest.approx([0.0, 0.3, -0.1])
    assert done.table["e_form"].tolist() == pytest.approx([-0.5, -0.2, -0.6])
    assert set(done.table["competing_phases"]) == {"0.5 Na + 0.5 NaCl"}
    assert done.table["reference_entries"].tolist() == [1, 1, 1]
    assert set(done.table["hull_reference"]) == {"toy"}


def test_a_polymorph_of_a_reference_compound(binary):
    done = hull(_candidates([-0.9], _crystal("Na", "Cl")), binary)
    assert done.table["e_above_hull"].tolist() == pytest.approx([0.1])
    assert done.table["competing_phases"].tolist() == ["1 NaCl"]


def test_elements_are_counted_from_their_references():
    table = _table(Na=-1.3, Cl=-1.8, NaCl=-3.5)
    done = hull(_candidates([-3.4, -1.25], _crystal("Na", "Cl"), _crystal("Na")), table)
    assert done.table["e_form"].tolist() == pytest.approx([-3.4 + 1.55, 0.05])
    assert done.table["e_above_hull"].tolist() == pytest.approx([0.1, 0.05])


def test_a_ternary_by_hand():
    # LiMgO2-like ABC2: between AC (-2), BC (-3) at equal shares: -2.5.
    table = _table(Li=0.0, Mg=0.0, O2=0.0, Li2O=-2.0, MgO=-3.0)
    done = hull(_candidates([-2.5], _crystal("Li", "Li", "Mg", "O", "O")), table)
    floor = -2.0 * 3 / 5 - 3.0 * 2 / 5
    assert done.table["e_above_hull"].tolist() == pytest.approx([-2.5 - floor])
    assert done.table["competing_phases"].tolist() == ["0.6 Li2O + 0.4 MgO"]


def test_energies_of_another_potential_are_refused(binary):
    with pytest.raises(ConfigError, match="cannot be compared"):
        hull(_candidates([-1.0], _crystal("Na", "Cl"), scale="chgnet-0.3.0/MP2020"), binary)


def test_candidates_of_two_potentials_are_refused(binary):
    structures = [_crystal("Na", "Cl")] * 2
    with pytest.raises(ConfigError, match="2 scales"):
        hull(_candidates([-1.0, -1.0], *structures, scale=["toy/none", "emt/none"]), binary)


def test_corrected_and_bare_energies_are_refused(binary):
    with pytest.raises(ConfigError, match="cannot be compared"):
        hull(_candidates([-1.0], _crystal("Na", "Cl"), scale="toy/MP2020"), binary)


def test_candidates_without_energies_are_refused(binary):
    bare = Candidates(pd.DataFrame({"id": ["a"]}), [_crystal("Na", "Cl")])
    with pytest.raises(ConfigError, match="matgen relax"):
        hull(bare, binary)


def test_a_missing_element_rejects_the_row_alone(binary):
    done = hull(_candidates([-1.0, -1.0, np.nan], _crystal("K", "Cl"), _crystal("Na", "Cl"), _crystal("Na")), binary)
    assert done.table["id"].tolist() == ["c1"]
    assert done.rejected["reason"].tolist() == ["no reference energy of K in toy", "no energy"]


def test_unrelaxed_energies_have_their_own_columns(binary):
    scored = _candidates([-0.8], _crystal("Na", "Cl"), column="energy_unrelaxed")
    done = hull(scored, binary, energies="energy_unrelaxed")
    assert done.table["e_above_hull_unrelaxed"].tolist() == pytest.approx([0.2])
    assert "e_above_hull" not in done.table


def test_nothing_in_gives_nothing_out(binary):
    assert "e_above_hull" in hull(_candidates([]), binary).table


def test_thin_systems():
    assert is_thin(2, 1)
    assert not is_thin(2, 2)
    assert is_thin(3, 3)
    assert not is_thin(1, 0)
