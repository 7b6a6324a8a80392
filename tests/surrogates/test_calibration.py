"""Intervals set anew on other rows, and on the rows that a training kept aside."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.structures import write_structures
from matgen.errors import ConfigError, DataError
from matgen.surrogates.calibration import calibrate_surrogate
from matgen.surrogates.conformal import LEVEL, Z_LEVEL, ErrorModel
from matgen.surrogates.storage import load_surrogate
from matgen.surrogates.training import read_values, train_surrogate

from .conftest import crystals, difference

SMALL = {"members": 2, "epochs": 30, "width": 48, "batch": 32, "rate": 3e-3, "held_out": 0.25}


def write(path, structures, noise: float, seed: int, first: int = 0):
    """A table of structures with the property and a column that errs from it by ``noise``."""
    rng = np.random.default_rng(seed)
    values = difference(structures)
    rows = pd.DataFrame({"id": [f"s{first + i}" for i in range(len(structures))], "e_form": values})
    rows["measured"] = values + noise * rng.standard_normal(len(values))
    write_structures(path, rows, structures)
    return path


@pytest.fixture(scope="module")
def trained(training, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    table = write(folder / "table.parquet", training, 0.2, 0)
    facts = {"licence": "none"}
    train_surrogate(table, "e_form", column="measured", out=folder / "net", surrogate="composition-ensemble",
                    settings=SMALL, facts=facts, seed=3)  # fmt: skip
    train_surrogate(table, "e_form", column="measured", out=folder / "forest", surrogate="composition-forest",
                    settings={"trees": 30}, facts=facts)  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["net", "forest"])
def test_own_rows_widen_the_intervals_and_leave_the_means(trained, tmp_path, name):
    rows, fresh = crystals(300, seed=5), crystals(300, seed=6)
    data = write(tmp_path / "own.parquet", rows, 1.0, 1, first=1000)
    test = write(tmp_path / "test.parquet", fresh, 1.0, 2, first=2000)
    old = load_surrogate(trained / name)
    calibrate_surrogate(trained / name, data, out=tmp_path / "own", column="measured", test=test)
    new = load_surrogate(tmp_path / "own")
    before, after = old.predict(fresh), new.predict(fresh)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.in_domain, after.in_domain)
    truth = read_values(test, "measured")[1]
    held = [(np.abs(p.mean - truth) <= Z_LEVEL * p.std).mean() for p in (before, after)]
    assert held[0] < 0.6  # five times the noise that it was trained with
    assert held[1] == pytest.approx(LEVEL, abs=0.06)
    card = new.card
    assert card["licence"] == "none"
    assert card["test"]["coverage_90"] == pytest.approx(held[1], abs=1e-5)
    assert "note" not in card["calibration"]
    whole, *parts = card["calibration"]["regions"]
    assert (whole["region"], whole["rows"]) == ("all", 300)
    assert sum(part["rows"] for part in parts) == 300
    assert whole["before"] < 0.6
    assert whole["after"] == pytest.approx(LEVEL, abs=0.06)


def test_rows_kept_aside_give_the_calibration_of_the_training(trained, tmp_path):
    table, model = trained / "table.parquet", load_surrogate(trained / "net")
    structures, values, _ = read_values(table, "measured")
    held = model.held_out(values)
    assert len(held) == 60
    again = ErrorModel.fit(model.judge([structures[i] for i in held], values[held]), model.errors.floor)
    np.testing.assert_allclose(again.weights, model.errors.weights, atol=1e-4)
    assert again.scale == pytest.approx(model.errors.scale, rel=1e-4)
    calibrate_surrogate(trained / "net", table, out=tmp_path / "same", column="measured", held_out=True)
    same = load_surrogate(tmp_path / "same")
    np.testing.assert_allclose(same.predict(structures[:9]).std, model.predict(structures[:9]).std, rtol=1e-3)
    assert same.card["calibration"]["rows"] == 60
    assert same.card["fingerprint"] == model.card["fingerprint"]  # the weights are the same file


def test_rows_of_another_training_are_told(trained, tmp_path, training):
    rng = np.random.default_rng(0)
    shuffled = [training[i] for i in rng.permutation(len(training))]
    order = write(tmp_path / "order.parquet", shuffled, 0.2, 0)
    few = write(tmp_path / "few.parquet", training[:99], 0.2, 0)
    for data in (order, few):
        with pytest.raises(DataError, match="not the 240"):
            calibrate_surrogate(trained / "net", data, out=tmp_path / "no", column="measured", held_out=True)
    with pytest.raises(ConfigError, match="keeps no rows aside"):
        calibrate_surrogate(trained / "forest", trained / "table.parquet", out=tmp_path / "no", held_out=True)
    with pytest.raises(DataError, match="too few"):
        calibrate_surrogate(trained / "net", write(tmp_path / "39.parquet", training[:39], 0, 0), out=tmp_path / "no")


def test_verb_reads_tables_of_formulas(trained, tmp_path):
    fresh = crystals(120, seed=8)
    table = tmp_path / "formulas.csv"
    rows = pd.DataFrame({"formula": [s.composition.reduced_formula for s in fresh], "x": 10 ** difference(fresh)})
    rows.loc[len(rows)] = ["NaCl", -1.0]
    rows.to_csv(table, index=False)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("property: e_form\ncolumn: x\nformula: formula\nlog10: true\n")
    args = ["calibrate", str(trained / "forest"), "--data", str(table), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, [*args, "--recipe", str(recipe), "--json"], catch_exceptions=False)
    record = json.loads(said.stdout)
    assert record["rows"] == 120
    assert record["regions"][0]["before"] > 0.97  # without the noise it was trained with, it is too careful
    text = CliRunner().invoke(app, [*args, "--recipe", str(recipe)], catch_exceptions=False).stdout
    assert "region" in text
    assert "halides" in text
    given = CliRunner().invoke(app, [*args, "--formula", "formula", "--column", "x", "--json"], catch_exceptions=False)
    assert json.loads(given.stdout)["rows"] == 121  # no logarithm, so a negative value is one like others
