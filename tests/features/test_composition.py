"""Composition vectors against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from matgen.errors import DataError
from matgen.features.composition import (
    ELEMENT_COLUMNS,
    FEATURE_NAMES,
    MAX_Z,
    amounts,
    composition_features,
    element_table,
    fractions,
)

ELEMENTS = st.sampled_from([Element.from_Z(z).symbol for z in range(1, 104)])
FORMULAS = st.dictionaries(ELEMENTS, st.integers(1, 12), min_size=1, max_size=5)


def feature(formula: str, name: str) -> float:
    return float(composition_features([formula])[0, FEATURE_NAMES.index(name)])


def test_shape_and_names():
    matrix = composition_features(["NaCl", "Fe2O3", "NaCl"])
    assert matrix.shape == (3, len(FEATURE_NAMES))
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    np.testing.assert_array_equal(matrix[0], matrix[2])
    assert composition_features([]).shape == (0, len(FEATURE_NAMES))


def test_statistics_by_hand():
    table = element_table()
    column = ELEMENT_COLUMNS.index("Electronegativity")
    fe, o = table[26, column], table[8, column]
    mean = 0.4 * fe + 0.6 * o
    assert feature("Fe2O3", "mean Electronegativity") == pytest.approx(mean)
    assert feature("Fe2O3", "deviation Electronegativity") == pytest.approx(0.4 * abs(fe - mean) + 0.6 * abs(o - mean))
    assert feature("Fe2O3", "range Electronegativity") == pytest.approx(abs(o - fe))
    assert feature("Fe2O3", "most_abundant Electronegativity") == pytest.approx(o)
    assert feature("NaCl", "most_abundant Row") == pytest.approx(feature("NaCl", "mean Row"))  # a tie
    assert feature("Fe2O3", "2-norm of fractions") == pytest.approx(np.hypot(0.4, 0.6))
    assert feature("Fe2O3", "number of elements") == 2


def test_element_table_orders_as_chemistry_does():
    table = dict(zip(ELEMENT_COLUMNS, element_table().T, strict=True))
    assert table["Electronegativity"][9] == table["Electronegativity"][1:].max()  # fluorine
    assert table["IonizationEnergy"][2] == table["IonizationEnergy"][1:].max()  # helium
    assert table["CovalentRadius"][55] > table["CovalentRadius"][3] > table["CovalentRadius"][9]


def test_every_element_has_finite_features():
    symbols = [Element.from_Z(z).symbol for z in range(1, MAX_Z + 1)]
    assert np.isfinite(composition_features(symbols)).all()


def test_sodium_nitride_is_not_a_missing_value():
    np.testing.assert_allclose(fractions(["NaN"])[0, [11, 7]], [0.5, 0.5])


@pytest.mark.parametrize("formula", ["Xx2", "", "Na-", "hello", "NaCl)"])
def test_no_formula_is_refused(formula):
    with pytest.raises(DataError):
        composition_features([formula])


def test_placeholder_species_are_refused():
    with pytest.raises(DataError):
        amounts(Composition({"X": 1, "O": 1}))


@given(FORMULAS, st.integers(2, 5))
def test_multiples_and_order_do_not_matter(counts, factor):
    one = composition_features([Composition(counts)])
    more = composition_features([Composition({e: factor * n for e, n in reversed(counts.items())})])
    np.testing.assert_allclose(one, more, rtol=1e-7, atol=1e-7)
    assert fractions([Composition(counts)]).sum() == pytest.approx(1)


def test_structures_equal_their_formula(perovskite):
    np.testing.assert_allclose(composition_features([perovskite]), composition_features(["SrTiO3"]))
