from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.report.fields import KNOWN, field_of, fixed, flag, formula, number, predicted, space_group, texts, written


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("SrTiO3", "SrTiO<sub>3</sub>"),
        ("Ca5(PO4)3F", "Ca<sub>5</sub>(PO<sub>4</sub>)<sub>3</sub>F"),
        ("Fe0.95O", "Fe<sub>0.95</sub>O"),
        ("0.75 NaCl + 0.25 K2O", "0.75 NaCl + 0.25 K<sub>2</sub>O"),
        ("<b>2", "&lt;b&gt;2"),
        ("", ""),
    ],
)
def test_formulas(text, html):
    assert str(formula(text)) == html


@given(st.text())
def test_formulas_never_let_markup_through(text):
    bare = str(formula(text)).replace("<sub>", "").replace("</sub>", "")
    assert "<" not in bare
    assert ">" not in bare


@pytest.mark.parametrize(
    ("value", "symbol"),
    [
        (14, 'P2<sub>1</sub>/c</span> <span class="minor">(14)'),
        (5, ">C2</span>"),
        (1, ">P1</span>"),
        (225, 'Fm<span class="over">3</span>m'),
        (194, "P6<sub>3</sub>/mmc"),
        ("Fm-3m", "Fm-3m"),
        (None, "–"),
        (pd.NA, "–"),
        (0, "0"),
        ("<i>", "&lt;i&gt;"),
    ],
)
def test_space_groups(value, symbol):
    assert symbol in str(space_group(value))


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("band_gap", {"band_gap": 1.234, "band_gap_std": 0.456}, "1.23 ± 0.46"),
        ("band_gap", {"band_gap": 1.234, "band_gap_std": math.nan}, "1.23"),
        ("band_gap", {"band_gap": None}, "–"),
        ("e_above_hull", {"e_above_hull": -0.0001}, "0.000"),
        ("e_above_hull", {"e_above_hull": -0.0251}, "−0.025"),
        ("n_atoms", {"n_atoms": 5}, "5"),
        ("novel", {"novel": np.True_}, "yes"),
        ("novel", {"novel": pd.NA}, "–"),
        ("id", {"id": "<a>"}, "&lt;a&gt;"),
        ("relax_status", {}, "–"),
    ],
)
def test_cells(name, row, text):
    assert str(written(KNOWN[name], row)) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6), st.integers(0, 6))
def test_fixed_numbers_read_back(value, digits):
    assert float(fixed(value, digits).replace("−", "-")) == pytest.approx(value, abs=0.51 * 10**-digits)
    assert not fixed(-abs(value) * 0, digits).startswith("−")


def test_values_that_are_none():
    assert number("x") is None
    assert number(math.inf) is None
    assert number(pd.NA) is None
    assert flag(1.0) is None


def test_lists_of_sentences():
    assert texts("On the hull; new") == ["On the hull", "new"]
    assert texts(np.array(["a", "b"])) == ["a", "b"]
    assert texts(["a; b"]) == ["a; b"]
    assert texts(None) == texts(math.nan) == texts("") == []


def test_columns_that_are_not_listed():
    assert field_of("density").unit == "g/cm³"
    assert field_of("my_score").label == "my score"
    assert predicted(pd.DataFrame({"a": [1], "a_std": [1], "b": [1]})) == ["a"]
