"""Sampling by name: ids, chunks, executors, tables of compositions."""

from __future__ import annotations

import pytest
import torch

from matgen.data.request import Request
from matgen.errors import ConfigError, DataError
from matgen.execution import Pool, Serial
from matgen.generators.base import WEIGHTS, load_generator
from matgen.generators.flow import Flow
from matgen.generators.prediction import predict_structures
from matgen.generators.sampling import sample

QUICK = {"steps": 3}


@pytest.fixture(scope="module")
def model(small_set, tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = Flow(width=16, layers=1, heads=2, channels=4, max_atoms=8)
    flow.prepare(small_set)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    flow.save(folder)
    return folder


def test_candidates_carry_what_identifies_them(model):
    made = sample(model, 5, seed=3, options=QUICK, executor=Serial())
    assert list(made.table.columns) == ["id", "formula", "generator", "seed", "index", "n_atoms"]
    assert made.table["generator"].unique().tolist() == ["tiny"]
    assert made.table["index"].tolist() == list(range(5))
    assert made.table["n_atoms"].tolist() == [len(s) for s in made.structures]


def test_one_worker_and_two_give_the_same(model, monkeypatch):
    monkeypatch.setattr(Flow, "chunk", 4)
    here = sample(model, 10, seed=1, options=QUICK, executor=Serial())
    with Pool(2) as pool:
        there = sample(model, 10, seed=1, options=QUICK, executor=pool)
    assert here.table.equals(there.table)
    assert here.structures == there.structures


def test_ids_change_with_seed_and_weights_only(model, small_set, tmp_path):
    ids = [set(sample(model, 4, seed=s, options=QUICK, executor=Serial()).table["id"]) for s in (0, 0, 1)]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]
    other = load_generator(model)
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    other.save(tmp_path / "tiny")
    assert not ids[0] & set(sample(tmp_path / "tiny", 4, seed=0, options=QUICK, executor=Serial()).table["id"])


def test_formula_and_mask_are_met_exactly(model):
    made = sample(model, 6, formula="SrTiO3", options=QUICK, executor=Serial())
    assert set(made.table["formula"]) == {"SrTiO3"}
    only = {"elements": {"only": ["Mg", "O"]}}
    free = sample(model, 6, constraints=[only], options=QUICK, executor=Serial())
    assert all({el.symbol for el in s.composition} <= {"Mg", "O"} for s in free.structures)


def test_what_cannot_be_honoured_is_refused(model):
    with pytest.raises(ConfigError, match="cannot honour 'space_group'"):
        sample("vae-mp20", 1, space_group=225)
    with pytest.raises(ConfigError, match="'min_distance' is able to act as check, penalty"):
        sample("retrieval", 1, constraints=["min_distance"])
    with pytest.raises(ConfigError, match="no element to choose"):
        sample(model, 1, constraints=[{"elements": {"only": ["Xe"]}}], options=QUICK, executor=Serial())
    with pytest.raises(ConfigError, match="Did you mean 'flow'"):
        sample("flwo", 1)


def test_damaged_weights_are_refused(model, tmp_path):
    load_generator(model).save(tmp_path)
    with (tmp_path / WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigError, match="do not belong together"):
        load_generator(tmp_path)


def test_prediction_keeps_the_order_and_ids_of_a_table(model, tmp_path, perovskite, rocksalt):
    import pandas as pd

    path = tmp_path / "asked.csv"
    cifs = [perovskite.to(fmt="cif"), rocksalt.to(fmt="cif")]
    pd.DataFrame({"material_id": ["mp-5229", "mp-22862"], "cif": cifs}).to_csv(path, index=False)
    made = predict_structures(model, path, options=QUICK, executor=Serial())
    assert made.table["material_id"].tolist() == ["mp-5229", "mp-22862"]
    assert [s.formula for s in made.structures] == ["Sr1 Ti1 O3", "Na1 Cl1"]


def test_prediction_names_the_row_without_a_composition(model, tmp_path):
    path = tmp_path / "asked.csv"
    path.write_text("material_id,formula\na,NaCl\nb,Xx2\n")
    with pytest.raises(DataError, match=r"1 of 2 rows .* row 2"):
        predict_structures(model, path, options=QUICK, executor=Serial())


def test_request_refuses_nonsense():
    with pytest.raises(ConfigError, match="no space group"):
        Request(space_group=231)
    with pytest.raises(ConfigError, match="no formula"):
        Request(formula="Xx2")
    with pytest.raises(ConfigError, match="whole atom counts"):
        Request(formula="Li0.5CoO2")
    with pytest.raises(ConfigError, match="no element"):
        Request(chemical_system="Li-Qq")
    with pytest.raises(ConfigError, match="Did you mean 'band_gap'"):
        Request(target={"bandgap": 1.0})
