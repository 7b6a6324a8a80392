"""Folds that share nothing they must not share, figures by hand, and tables of formulas with their traps."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import typer
from pymatgen.core import Composition
from typer.testing import CliRunner

from matgen.cli import train
from matgen.data.property import PROPERTIES
from matgen.errors import ConfigError, DataError
from matgen.surrogates.base import Prediction
from matgen.surrogates.prediction import surrogate_for
from matgen.surrogates.tables import FormulaTable, read_formulas
from matgen.surrogates.validation import cross_validate, figures, fold_labels, retention

from .conftest import difference


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("split", ["formula", "chemical_system"])
def test_equal_ones_share_a_fold(split):
    materials = [Composition(f) for f in ["NaCl", "Na2Cl2", "Na2Cl", "KCl", "MgO", "Mg2O2", "MgO2", "CaO"]]
    labels = fold_labels(materials, split, 3, rng())
    assert labels[0] == labels[1]
    assert labels[4] == labels[5]
    if split == "chemical_system":
        assert labels[0] == labels[2]
        assert labels[4] == labels[6]
    assert len(set(labels)) == 3


def test_random_folds_are_even(training):
    assert np.bincount(fold_labels(training, "random", 5, rng())).tolist() == [48] * 5


def test_clusters_are_regions_of_chemistry():
    materials = [Composition(f) for f in ["Li2O", "Na2O", "K2O", "TiC", "ZrC", "HfC"]]
    labels = fold_labels([m for m in materials for _ in range(3)], "cluster", 2, rng())
    assert len(set(labels)) == 2
    assert (labels[::3] == labels[1::3]).all()


@pytest.mark.parametrize(
    ("split", "folds", "said"), [("formla", 5, "formula"), ("random", 1, "folds"), ("random", 999, "folds")]
)
def test_impossible_folds_are_refused(training, split, folds, said):
    with pytest.raises(ConfigError, match=said):
        fold_labels(training, split, folds, rng())


def test_figures_by_hand():
    answer = Prediction(np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False]))
    found = figures(answer, np.array([1.0, -4.0, 3.0, 8.0]))
    assert (found["mae"], found["coverage_90"], found["in_domain"]) == (4.0, 0.5, 0.5)
    assert found["mae_in_domain"] == found["mae_most_certain_half"] == 2.5
    assert found["mae_kept"] == [4.0, 2.66667, 2.5, 2.5, 1.0]


def test_retention_falls_for_a_perfect_uncertainty():
    errors = rng().exponential(size=200)
    kept = retention(errors, errors)
    assert kept == sorted(kept, reverse=True)


def test_cross_validation_beats_its_baselines(training):
    found = cross_validate(
        training,
        difference(training),
        "density",
        surrogate="composition-forest",
        settings={"trees": 20},
        split="random",
    )
    assert found["mae"] < 0.35 * found["dummy_mae"]
    assert found["linear_mae"] < 1e-3  # the range of electronegativities is one of the features
    assert found["rows"] == len(training)
    assert len(found["coverage_by_fold"]) == 5


def test_tables_of_formulas_keep_sodium_nitride_and_leave_bounds_out(tmp_path):
    path = tmp_path / "table.csv.gz"
    rows = [("NaN", "10"), ("NaCl", "<1e-8"), ("KCl", "0"), ("MgO", "100"), ("Qq2", "5"), ("CaO", "")]
    pd.DataFrame(rows, columns=["name", "value"]).to_csv(path, index=False)
    found, values, left_out = read_formulas([path], "value", FormulaTable("name", log10=True))
    assert [c.reduced_formula for c in found] == ["NaN", "MgO"]
    np.testing.assert_allclose(values, [1, 2])
    assert left_out == 4
    assert read_formulas([path], "value", FormulaTable("name"))[1].tolist() == [10, 0, 100]
    assert read_formulas([path], "value", FormulaTable("name", above=10))[1].tolist() == [100]


def test_tables_without_the_column_or_any_value_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("formula,value\nNaCl,none\n")
    with pytest.raises(DataError, match="value"):
        read_formulas([path], "valu", FormulaTable())
    with pytest.raises(DataError, match="no row"):
        read_formulas([path], "value", FormulaTable())
    with pytest.raises(DataError, match="no such table"):
        read_formulas([tmp_path / "none.csv"], "value", FormulaTable())


def test_a_property_of_ones_own_from_a_table(training, tmp_path, monkeypatch):
    table, recipe, out = tmp_path / "table.csv", tmp_path / "recipe.yaml", tmp_path / "model"
    formulas = [s.composition.reduced_formula for s in training]
    pd.DataFrame({"formula": formulas, "dx": difference(training)}).to_csv(table, index=False)
    recipe.write_text(
        "property: contrast\ndefine: {label: Contrast, unit: Pauling, lower: 0}\ncolumn: dx\nformula: formula\n"
        "surrogate: composition-forest\nsettings: {trees: 15}\n"
    )
    app = typer.Typer()
    app.add_typer(train.app, name="train")
    arguments = ["train", "surrogate", str(recipe), "--data", str(table), "--out", str(out), "--json"]
    said = CliRunner().invoke(app, [*arguments, "--cross-validate", "3", "--split", "random"], catch_exceptions=False)
    assert json.loads(said.stdout)["cross_validation"]["mae"] < 0.2
    monkeypatch.delitem(PROPERTIES, "contrast")  # a later process knows nothing of it but the card
    model = surrogate_for("contrast", out)
    assert (model.prop.unit, model.prop.lower) == ("Pauling", 0)
    assert model.predict([Composition("NaCl")]).mean[0] == pytest.approx(2.23, abs=0.3)
    monkeypatch.delitem(PROPERTIES, "contrast")


def test_small_numbers_keep_their_digits():
    answer = Prediction(np.full(3, 2.0e-5), np.full(3, 1e-5), np.ones(3, dtype=bool))
    assert figures(answer, np.array([1.23456e-5, 2e-5, 2e-5]))["mae"] == pytest.approx(0.76544e-5 / 3, rel=1e-4)
