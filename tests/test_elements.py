from __future__ import annotations

import numpy as np
import pytest

from matgen import elements
from matgen.errors import ConfigError


@pytest.mark.parametrize(
    ("table", "iron"),
    [
        (elements.electronegativity, 1.83),
        (elements.smact_electronegativity, 1.83),
        (elements.covalent_radius, 1.32),
        (elements.atomic_mass, 55.845),
        (elements.crustal_abundance, 56300),
        (elements.valence_electrons, 8),
    ],
)
def test_tables_are_indexed_by_atomic_number(table, iron):
    assert table().shape == (elements.N_NUMBERS,)
    assert table()[elements.number("Fe")] == pytest.approx(iron)
    assert np.isnan(table()[0])
    with pytest.raises(ValueError, match="read-only"):
        table()[1] = 0.0


def test_symbols_and_numbers_are_inverse():
    assert all(elements.symbols()[z] == symbol for symbol, z in elements.numbers().items())
    assert len(elements.numbers()) == 118


def test_an_unknown_symbol_suggests_neighbours():
    with pytest.raises(ConfigError, match=r"'Feo' is no element\. Did you mean 'Fe'"):
        elements.number("Feo")


def test_neighbours_in_mendeleevs_order_are_alike():
    order = elements.mendeleev_number()
    sodium, potassium, chlorine = (elements.number(s) for s in ("Na", "K", "Cl"))
    assert abs(order[sodium] - order[potassium]) < abs(order[sodium] - order[chlorine])


@pytest.mark.parametrize("table", ["icsd24", "icsd16", "smact14", "pymatgen_sp"])
def test_oxidation_states_know_the_common_ones(table):
    known = elements.oxidation_states(table)
    assert -2 in known["O"]
    assert {2, 3} <= set(known["Fe"])
    assert 0 not in known["Fe"]


def test_default_exclusions():
    groups = elements.groups()
    assert groups["precious"] == {"Ru", "Rh", "Pd", "Ag", "Os", "Ir", "Pt", "Au"}
    assert groups["rare"] - groups["precious"] - groups["radioactive"] == {"Re", "Te", "Ne", "Kr", "Xe"}
    assert {"Tc", "Pm", "U", "Th", "Po"} <= groups["radioactive"]
    assert "Bi" not in groups["radioactive"]


def test_expand_mixes_groups_and_symbols():
    assert elements.expand(["halogen", "O"]) >= {"F", "Cl", "Br", "I", "O"}
    with pytest.raises(ConfigError, match="Did you mean 'toxic'"):
        elements.expand(["toxik"])


@pytest.mark.parametrize(
    ("symbol", "electrons"), [("Li", 1), ("Zr", 4), ("Zn", 12), ("Al", 3), ("Sn", 4), ("F", 7), ("Gd", 3)]
)
def test_valence_electrons_are_counted_as_for_heusler_compounds(symbol, electrons):
    assert elements.valence_electrons()[elements.number(symbol)] == electrons
