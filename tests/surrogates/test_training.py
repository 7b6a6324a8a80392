"""From a table of structures to a model with a card, and from there to predictions, as a user does it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.candidates import Candidates
from matgen.data.molecules import embed
from matgen.data.property import find_property
from matgen.data.structures import write_structures
from matgen.errors import ConfigError, DataError, MatgenError
from matgen.surrogates.base import Prediction
from matgen.surrogates.prediction import default_model, predict, surrogate_for
from matgen.surrogates.storage import SHIPPED, load_surrogate
from matgen.surrogates.training import measured, read_values, train_surrogate

from .conftest import density, difference


@pytest.fixture(scope="module")
def table(training, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "table.parquet"
    rows = pd.DataFrame({"id": [f"s{i}" for i in range(len(training))], "density": density(training)})
    rows.loc[:4, "density"] = np.nan
    rows["e_form"] = -difference(training)
    rows["name"] = "text"
    write_structures(path, rows, training)
    return path


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    train_surrogate(
        table,
        "e_form",
        out=out,
        surrogate="composition-forest",
        test=table,
        settings={"trees": 20},
        facts={"licence": "none", "default": True},
    )
    return out


def candidates(structures) -> Candidates:
    return Candidates(pd.DataFrame({"id": [f"c{i}" for i in range(len(structures))]}), list(structures))


def test_card_says_what_was_done(model):
    card = json.loads((model / "card.json").read_text())
    assert card["surrogate"] == "composition-forest"
    assert (card["rows"], card["rows_without_value"], card["licence"]) == (240, 0, "none")
    assert card["test"]["rows"] == 240
    assert card["test"]["mae"] < 0.1


def test_rows_without_value_are_counted(table):
    structures, values, missing = read_values(table, "density")
    assert (len(structures), len(values), missing) == (235, 235, 5)


@pytest.mark.parametrize(("column", "said"), [("densty", "density"), ("name", "numbers")])
def test_wrong_columns_are_refused(table, column, said):
    with pytest.raises(DataError, match=said):
        read_values(table, column)


def test_measured_figures_by_hand(model, fresh):
    surrogate = load_surrogate(model)
    figures = measured(surrogate, fresh, surrogate.predict(fresh).mean)
    assert (figures["mae"], figures["rmse"], figures["coverage_90"]) == (0, 0, 1)
    assert figures["rows"] == len(fresh)


def test_predict_adds_columns_and_joins_the_domains(model, fresh, monkeypatch):
    surrogate = load_surrogate(model)
    found = predict("e_form", candidates(fresh), surrogate, columns={"e_form": "e_form_surrogate"})
    assert list(found.table) == ["id", "e_form_surrogate", "e_form_surrogate_std", "in_domain", "domain_distance"]
    np.testing.assert_allclose(found.table["e_form_surrogate"], surrogate.predict(fresh).mean)
    inside = found.table["in_domain"]
    assert inside.any()
    assert (found.table["domain_distance"][inside] <= 1).all()

    class Narrow:
        prop = find_property("density")

        def predict(self, structures):
            inside = np.arange(len(structures)) % 2 == 0
            return Prediction(density(structures), np.ones(len(structures)), inside)

    both = predict(["e_form", "density"], candidates(fresh), {"e_form": surrogate, "density": Narrow()})
    expected = found.table["in_domain"].to_numpy() & (np.arange(len(fresh)) % 2 == 0)
    np.testing.assert_array_equal(both.table["in_domain"], expected)
    assert both.table["domain_distance"].isna().all()  # one of the two does not measure it


def test_columns_are_never_overwritten(model, fresh):
    once = predict("e_form", candidates(fresh), model)
    with pytest.raises(MatgenError, match="already have"):
        predict("e_form", once, model)


def test_no_candidates_no_rows(model):
    assert len(predict("e_form", candidates([]), model)) == 0


@pytest.mark.parametrize(
    ("prop", "chosen", "said"),
    [("e_frm", None, "e_form"), ("density", "here", "predicts 'e_form'"), ("e_form", "nowhere", "no trained")],
)
def test_clear_refusals(model, prop, chosen, said):
    with pytest.raises(ConfigError, match=said):
        surrogate_for(prop, model if chosen == "here" else chosen)


def test_property_without_shipped_model(monkeypatch, tmp_path):
    monkeypatch.setattr("matgen.surrogates.storage.SHIPPED", tmp_path)
    with pytest.raises(ConfigError, match="Train one"):
        default_model("density")


def test_verbs_train_and_predict(table, tmp_path, fresh):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("property: e_form\nsurrogate: composition-forest\nsettings: {trees: 50}\n")
    source, model, out = tmp_path / "fresh.extxyz", tmp_path / "model", tmp_path / "predicted.csv"
    write_structures(source, pd.DataFrame({"id": [f"{i}" for i in range(len(fresh))]}), fresh)
    args = ["train", "surrogate", str(recipe), "--data", str(table), "--out", str(model), "--set", "settings.trees=12"]
    trained = CliRunner().invoke(app, [*args, "--json"], catch_exceptions=False)
    assert json.loads(trained.stdout)["rows"] == 240
    assert len(load_surrogate(model).fitted.head.trees.roots) == 12
    said = CliRunner().invoke(
        app, ["predict", "e_form", str(source), "--out", str(out), "--model", str(model), "--json"]
    )
    assert json.loads(said.stdout)["rows"] == len(fresh)
    predicted = pd.read_csv(out)
    assert list(predicted) == ["id", "formula", "mean", "std", "in_domain", "domain_distance"]
    np.testing.assert_allclose(predicted["mean"], load_surrogate(model).predict(fresh).mean, rtol=1e-6)


@pytest.fixture
def examples(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    cell = Lattice.cubic(4.2)
    Structure(cell, ["Mg", "O"], [[0, 0, 0], [0.5] * 3]).to(str(folder / "whole.cif"))
    Structure(cell, [{"Mg": 0.5, "Ca": 0.5}, "O"], [[0, 0, 0], [0.5] * 3]).to(str(folder / "mixed.cif"))
    return folder


def test_what_a_model_cannot_read_stays_with_the_reason(examples, model, tmp_path):
    args = ["predict", "e_form", str(examples), "--out", str(tmp_path / "graph.csv"), "--json"]
    said = json.loads(CliRunner().invoke(app, args, catch_exceptions=False).stdout)
    assert list(said["rejected"]) == ["mixed"]
    assert "share a site" in said["rejected"]["mixed"]
    table = pd.read_csv(tmp_path / "graph.csv").set_index("id")
    assert np.isfinite(table.loc["whole", "mean"])
    assert np.isnan(table.loc["mixed", "mean"])
    assert not table.loc["mixed", "in_domain"]
    args = ["predict", "e_form", str(examples), "--out", str(tmp_path / "forest.csv"), "--model", str(model), "--json"]
    said = json.loads(CliRunner().invoke(app, args, catch_exceptions=False).stdout)
    assert "rejected" not in said  # a composition may be of any ratio
    assert pd.read_csv(tmp_path / "forest.csv")["mean"].notna().all()


def test_formulas_are_read_from_a_table(model, tmp_path):
    table = tmp_path / "formulas.csv"
    table.write_text("id,formula\na,NaCl\nb,Qx2\nc,TiO\n")
    args = ["predict", "e_form", str(table), "--formula", "formula", "--out", str(tmp_path / "out.csv")]
    said = CliRunner().invoke(app, [*args, "--model", str(model), "--json"], catch_exceptions=False)
    assert json.loads(said.stdout)["rejected"] == {"b": "no readable formula"}
    found = pd.read_csv(tmp_path / "out.csv").set_index("id")
    expected = load_surrogate(model).predict([Composition("NaCl"), Composition("TiO")])
    np.testing.assert_allclose(found.loc[["a", "c"], "mean"], expected.mean)
    assert np.isnan(found.loc["b", "mean"])
    assert found["in_domain"].tolist() == [True, False, True]
    with pytest.raises(ConfigError, match="formation-energy-composition"):  # the default reads structures
        CliRunner().invoke(app, args, catch_exceptions=False)
    with pytest.raises(ConfigError, match="--formula"):
        CliRunner().invoke(app, [*args[:3], *args[5:], "--model", str(model)], catch_exceptions=False)
    with pytest.raises(ConfigError, match=r"\.csv"):
        CliRunner().invoke(app, [*args[:-1], str(tmp_path / "out.parquet")], catch_exceptions=False)


def test_what_is_predicted_can_be_ranked(examples, tmp_path):
    predicted = tmp_path / "predicted.parquet"
    args = ["predict", "band_gap,e_form", str(examples), "--out", str(predicted), "--json"]
    said = json.loads(CliRunner().invoke(app, args, catch_exceptions=False).stdout)
    assert said["rows"] == 1
    args = ["rank", str(predicted), "--objective", "e_form:minimise:-4:0", "--objective", "band_gap:maximise:0:5"]
    ranked = json.loads(CliRunner().invoke(app, [*args, "--json"], catch_exceptions=False).stdout)["top"]
    assert [row["id"] for row in ranked] == ["whole"]
    assert 0 < ranked[0]["desirability"] < 1
    assert "band gap" in ranked[0]["reasons"]
    assert "domain" in ranked[0]["reasons"]
    several = ["predict", "band_gap,e_form", str(examples), "--out", str(tmp_path / "p.csv")]
    assert CliRunner().invoke(app, several).exit_code != 0


NARROW = {"ionic-conductivity-composition"}
"""Models of compounds among which rock salt is not: its sodium is in the data, lithium is what they are about."""


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in SHIPPED.glob("*/card.json")))
def test_shipped_models_load_and_their_cards_are_complete(folder, rocksalt):
    card = json.loads((SHIPPED / folder / "card.json").read_text())
    if "surrogate" not in card:
        pytest.skip("not a surrogate")
    assert "unit" in card  # empty where the property has none
    for key in ("property", "quantity", "data", "data_licence", "excluded", "intended_use", "limits", "rows"):
        assert card[key], key
    measured = card.get("test") or card["cross_validation"]
    assert 0.85 <= measured["coverage_90"] <= 0.95  # a little too wide is allowed, too narrow is not
    kept = np.array(measured.get("mae_kept", []))
    # What is said to be more certain is less wrong; a thousandth of the spread of the values tells nothing.
    assert (np.diff(kept) <= 1e-3 * card["scale"]).all()
    assert sum(file.stat().st_size for file in (SHIPPED / folder).iterdir()) < 4.5e6
    structure = embed("CC(=O)Nc1ccc(O)cc1") if folder.endswith("-molecule") else rocksalt
    answer = load_surrogate(folder).predict([structure])
    assert np.isfinite(answer.mean).all()
    assert (answer.std > 0).all()
    assert answer.in_domain.all() == (folder not in NARROW)
