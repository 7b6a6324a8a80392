"""What ``matgen validate`` measures: by hand where that can be done, and as a user calls it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.report.assessment import FILE, MOST_POINTS, parity
from matgen.surrogates.assessment import (
    HeldOut,
    Plan,
    by_region,
    calibration,
    comparison,
    hold_out,
    importances,
    kept_errors,
    learning_curve,
)
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.regions import region
from matgen.surrogates.validation import cross_validate

CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ti", "Fe", "Cu", "Al"), ("O", "S", "F", "Cl", "N", "Se")


@pytest.fixture(scope="module")
def table() -> tuple[list[Composition], np.ndarray]:
    """Binary compounds and the difference of their electronegativities."""
    found = [Composition({a: i, b: j}) for a in CATIONS for b in ANIONS for i in (1, 2) for j in (1, 3)]
    return found, np.array([abs(np.diff([e.X for e in c.elements])[0]) for c in found])


def held(errors: list[float], std: list[float], values: list[float] | None = None) -> HeldOut:
    n = len(errors)
    true = np.array(values or [0.0] * n)
    nothing = np.full(n, np.nan)
    return HeldOut("m", true, true + errors, np.array(std), nothing, np.ones(n, dtype=bool), np.zeros(n), 1.0)


def test_kept_errors_by_hand():
    kept = kept_errors(np.arange(10.0), np.arange(10.0))
    assert kept == [4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.0]
    assert kept_errors(np.arange(10.0), -np.arange(10.0))[-1] == 9.0


def test_calibration_of_normal_errors_is_the_diagonal():
    errors = np.random.default_rng(0).normal(size=20_000)
    found = calibration(held(errors.tolist(), [1.0] * 20_000))
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], atol=0.012)
    assert max(calibration(held(errors.tolist(), [1e-6] * 20_000))) < 0.01


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("MgO", "oxides"),
        ("LiPF6", "halides"),
        ("BaTiO2S", "oxides"),
        ("GaAs", "pnictides"),
        ("PbTe", "chalcogenides"),
        ("TiC", "borides, carbides, silicides, germanides"),
        ("PdH", "hydrides"),
        ("Ni3Al", "intermetallics and others"),
        ("ZrNiSn", "intermetallics with closed shells"),  # 18 valence electrons
        ("TiFe2Si", "intermetallics with closed shells"),  # 24
        ("MnCu2Al", "intermetallics and others"),
    ],
)
def test_regions(formula, wanted):
    assert region(Composition(formula)) == wanted


def test_by_region_counts_each_row_once():
    found = by_region(held([1.0, 3.0, 10.0], [1.0, 1.0, 10.0]), [Composition(f) for f in ("MgO", "CaO", "NaCl")])
    assert found.to_dict("records") == [
        {"region": "oxides", "rows": 2, "mae": 2.0, "coverage_90": 0.5},
        {"region": "halides", "rows": 1, "mae": 10.0, "coverage_90": 1.0},
    ]


def test_molecules_are_one_region():
    found = by_region(held([1.0, 3.0], [1.0, 1.0]), ["c1ccccc1O", "CCO"])
    assert found.to_dict("records") == [{"region": "molecules", "rows": 2, "mae": 2.0, "coverage_90": 0.5}]


def test_comparison_by_hand():
    row = comparison([held([1.0] * 8 + [3.0] * 2, [1.0] * 8 + [4.0] * 2)]).iloc[0]
    assert (row["mae"], row["coverage_90"], row["falls"]) == (1.4, 1.0, 1.0)
    assert row["rmse"] == pytest.approx(np.sqrt(2.6))
    assert row["area"] == pytest.approx((1.4 + 11 / 9 + 8) / 10)
    assert row["mae_low"] < 1.4 < row["mae_high"]


def test_held_out_figures_are_those_of_cross_validation(table):
    settings = {"trees": 8}
    found = hold_out(*table, "density", "composition-forest", settings, Plan("formula", 3, 1))
    other = cross_validate(*table, "density", surrogate="composition-forest", settings=settings, folds=3, seed=1)
    assert found.errors.mean() == pytest.approx(other["mae"], abs=1e-5)
    assert found.held.mean() == pytest.approx(other["coverage_90"], abs=1e-5)
    assert np.isfinite(found.spread).all()


def test_the_baselines(table):
    materials, values = table
    dummy = hold_out(materials, values, "density", "dummy", plan=Plan("formula", 3))
    for fold in range(3):
        inside = dummy.fold == fold
        assert (dummy.mean[inside] == np.median(values[~inside])).all()
    assert hold_out(materials, values, "density", "linear", plan=Plan("formula", 3)).errors.mean() < dummy.errors.mean()


def test_errors_fall_with_rows(table):
    found = learning_curve(*table, "density", "composition-process", {"learned": 100}, Plan("formula", 4))
    assert found["rows"].is_monotonic_increasing
    assert found["mae"].iloc[-1] < found["mae"].iloc[0]


def test_what_matters_is_found(table):
    materials, values = table
    model = SURROGATES.get("composition-boosting")(find_property("density"), rounds=60)
    model.fit(materials, values, rng=np.random.default_rng(0))
    found = importances(model, materials, values, np.random.default_rng(0))
    assert "Electronegativity" in found["features"].tolist()[:3]
    assert found["features"].is_unique
    assert found["rise_of_mae"].is_monotonic_decreasing


def test_importances_need_vectors(table):
    with pytest.raises(ConfigError, match="on vectors"):
        importances(SURROGATES.get("graph-ensemble")(find_property("density")), *table, np.random.default_rng(0))


def test_parity_draws_no_more_than_it_says():
    many = held([0.1] * 3000, [1.0] * 3000, list(np.linspace(0, 1, 3000)))
    assert str(parity(many, "x")).count("<circle") == MOST_POINTS


@pytest.fixture
def files(table, tmp_path):
    materials, values = table
    data, recipe = tmp_path / "table.csv", tmp_path / "recipe.yaml"
    pd.DataFrame({"formula": [c.formula for c in materials], "density": values}).to_csv(data, index=False)
    recipe.write_text("property: density\nformula: formula\nsurrogate: composition-forest\nsettings: {trees: 10}\n")
    return recipe, data, tmp_path / "out"


def test_the_verb_writes_tables_and_a_page(files):
    recipe, data, out = files
    options = ["--against", "composition-process", "--folds", "3", "--curve", "--features", "--json"]
    done = CliRunner().invoke(
        app, ["validate", str(recipe), "--data", str(data), "--out", str(out), *options], catch_exceptions=False
    )
    found = json.loads(done.stdout)
    models = [row["model"] for row in found["comparison"]]
    assert set(models) == {"composition-forest", "composition-process", "dummy", "linear"}
    assert found["comparison"][-1]["model"] == "dummy"
    names = {"comparison", "held_out", "regions", "learning", "importances"}
    assert {p.name for p in out.iterdir()} == {f"{n}.csv" for n in names} | {FILE, "validation.json"}
    assert len(pd.read_csv(out / "held_out.csv")) == found["rows"] == 264
    page = (out / FILE).read_text()
    assert page.count("<svg") == 5
    assert "<script" not in page
    assert json.loads((out / "validation.json").read_text())["comparison"] == found["comparison"]


def test_a_wrong_name_is_refused_before_any_work(files):
    recipe, data, out = files
    with pytest.raises(ConfigError, match="composition-forest"):
        CliRunner().invoke(
            app,
            ["validate", str(recipe), "--data", str(data), "--out", str(out), "--against", "composition-forst"],
            catch_exceptions=False,
        )
    assert not out.exists()


def test_importances_that_cannot_be_measured_are_refused_before_any_work(files):
    recipe, data, out = files
    recipe.write_text("property: density\nformula: formula\nsurrogate: composition-ensemble\n")
    with pytest.raises(ConfigError, match="Leave --features out"):
        CliRunner().invoke(
            app,
            ["validate", str(recipe), "--data", str(data), "--out", str(out), "--features"],
            catch_exceptions=False,
        )
    assert not out.exists()


def test_the_verb_shows_a_table(files):
    recipe, data, out = files
    args = ["validate", str(recipe), "--data", str(data), "--out", str(out), "--folds", "2", "--rows", "120"]
    shown = CliRunner().invoke(app, args, catch_exceptions=False, env={"COLUMNS": "200"}).stdout.splitlines()
    heads = next(i for i, line in enumerate(shown) if line.split()[:2] == ["model", "mae"])
    rows = {line.split()[0]: line.split() for line in shown[heads + 1 :]}
    assert set(rows) == {"composition-forest", "dummy", "linear"}
    assert "-" in rows["dummy"]
    assert len({len(cells) for cells in rows.values()}) == 1
