"""The main job on a small scale, with real chemistry, potential, hull and surrogate."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.workflow.config import load_workflow
from matgen.workflow.run import run

HERE = Path(__file__).parent
SMALL = {
    "workflow": "discover",
    "plugins": [str(HERE / "rocksalt_generator.py")],
    "workers": 1,
    "sample": [{"model": "rocksalt", "n": 40}],
    "promote": {"n": 5},
    "novelty": {"reject_known": False},
    "relax": {"max_steps": 40},
}
COLUMNS = [
    "id",
    "formula",
    "generator",
    "n_atoms",
    "space_group",
    "valid",
    "unique",
    "novel",
    "nearest_known",
    "e_form",
    "e_above_hull",
    "relax_status",
    "band_gap",
    "band_gap_std",
    "in_domain",
    "desirability",
    "pareto_front",
    "rank",
    "reasons",
]
PRODUCTS = [
    "candidates.parquet",
    "rejected.parquet",
    "candidates.extxyz",
    "candidates.db",
    "candidates.csv",
    "cifs",
    "report.html",
    "config.yaml",
    "environment.json",
    "run.json",
    "run.log",
]


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    return run(SMALL, out=tmp_path_factory.mktemp("runs") / "small")


def test_every_product_is_there_and_opens(discovered):
    from ase.db import connect
    from ase.io import read

    assert all((discovered.folder / name).exists() for name in PRODUCTS)
    n = len(discovered.candidates)
    assert len(read(discovered.folder / "candidates.extxyz", ":")) == n
    assert connect(discovered.folder / "candidates.db").count() == n
    assert len(list((discovered.folder / "cifs").glob("*.cif"))) == n


def test_the_table_has_its_columns_and_is_sorted_by_rank(discovered):
    table = discovered.candidates.table
    assert set(COLUMNS) <= set(table)
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    assert table["space_group"].eq(225).all()
    assert table["valid"].all()


def test_nothing_disappears(discovered):
    candidates = discovered.candidates
    assert 1 <= len(candidates) <= 5
    assert len(candidates) + len(candidates.rejected) == 40
    assert candidates.rejected["reason"].str.len().gt(0).all()
    funnel = discovered.record["funnel"]
    assert funnel[0] == {"stage": "sample", "entered": 40, "left": 40}
    lost = {step["stage"]: step["entered"] - step["left"] for step in funnel}
    assert candidates.rejected["stage"].value_counts().to_dict() == {k: v for k, v in lost.items() if v}


def test_relaxed_rock_salts_have_the_lattice_constants_of_the_potential(discovered):
    """CHGNet within 3 % of experiment."""
    known = {"NaCl": 5.64, "LiF": 4.03, "MgO": 4.21, "CaO": 4.81, "KCl": 6.29, "SrO": 5.16, "NaF": 4.62, "MnO": 4.44}
    candidates = discovered.candidates
    found = {
        row["formula"]: structure.lattice.a * 2**0.5
        for row, structure in zip(candidates.table.to_dict("records"), candidates.structures, strict=True)
    }
    assert known.keys() & found.keys()
    for formula in known.keys() & found.keys():
        assert found[formula] == pytest.approx(known[formula], rel=0.03)


def test_what_the_numbers_rest_on_is_recorded(discovered):
    protocol = json.loads((discovered.folder / "run.json").read_text())["protocol"]
    assert protocol["potential"].startswith("chgnet")
    assert protocol["hull_reference"] == "chgnet-0.3.0"


def test_the_resolved_configuration_repeats_the_run(discovered, tmp_path):
    again = run(discovered.folder / "config.yaml", out=tmp_path / "again")
    first, second = (Candidates.read(r.folder) for r in (discovered, again))
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.rejected, second.rejected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sample.0.model=rocksatl"], "sample.0.*'rocksalt'"),
        (["sample.0.formula=NaCl"], r"sample\.0\.formula.*cannot honour 'formula'"),
        (["sample.0.target.band_gp=1.0"], r"sample\.0.*Did you mean 'band_gap'"),
        (["sample.0.constraints=[min_distance]"], r"sample\.0\.constraints.*act in the generator 'rocksalt' as mask"),
        (["sample=[]"], "sample.*at least 1"),
        (["screen.constraints=[chrge_neutral]"], r"screen\.constraints\.0.*'charge_neutral'"),
        (["screen.constraints=[{min_distance: {absolut: 1}}]"], r"screen\.constraints\.0.*'absolute'"),
        (["relax.potential=chgnut"], "relax.*'chgnet'"),
        (["relax.fmax=-1"], r"relax\.fmax.*greater than 0.*-1"),
        (["relax.potential=emt"], r"hull\.reference.*same potential"),
        (["hull.reference=chgnet-0.3"], r"hull\.reference.*'chgnet-0.3.0'"),
        (["predict.properties=[bandgap]"], r"predict\.properties.*'band_gap'"),
        (["predict.properties=[density]"], r"predict\.properties.*no shipped model"),
        (["predict.models.bandgap=x"], r"predict\.models\.bandgap.*'band_gap'"),
        (["rank.objectives.1.property=bandgap"], r"rank\.objectives\.1\.property.*'band_gap'"),
        (["rank.objectives.0.low=3"], r"rank\.objectives\.0.*must be below"),
        (["promote.objectives.0.property=e_above_hull"], r"promote\.objectives\.0.*'e_above_hull_unrelaxed'"),
        (["data.source=/no/such/file.csv"], r"data\.source.*no such file"),
        (["train.generator=flow"], "train.*no data"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(settings, said):
    with pytest.raises(ConfigError, match=said):
        load_workflow(SMALL, settings)


def test_paths_of_ones_own_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.cif").write_text("data_x")
    config = load_workflow(SMALL, ["data.source=mine"], check=False)
    assert config.data.source == str(tmp_path / "mine")
    assert config.sample[0].model == "rocksalt"


def test_the_file_in_the_repository_spells_out_the_defaults():
    file = HERE.parents[1] / "workflows" / "discover.yaml"
    assert load_workflow(file, check=False) == load_workflow("discover", check=False)


def test_a_run_in_which_nothing_passes_ends_with_an_empty_ranking_and_all_reasons(tmp_path):
    impossible = ["sample.0.n=6", "screen.constraints=[{required_elements: {required: [U]}}]"]
    result = run(SMALL, impossible, out=tmp_path / "none", executor=Serial())
    assert len(result.candidates) == 0
    assert len(result.candidates.rejected) == 6
    assert (result.folder / "report.html").exists()


def test_two_entries_of_one_model_draw_differently(tmp_path):
    from matgen.workflow.discovery import Discovery

    two = {**SMALL, "sample": [{"model": "rocksalt", "n": 5}] * 2}
    seeds = [Discovery(load_workflow(two))._seed(i) for i in range(2)]
    assert seeds[0] == 0
    assert seeds[1] != 0
