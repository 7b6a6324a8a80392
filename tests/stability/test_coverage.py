"""Which chemical systems a table knows, counted by hand."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from matgen.cli import app
from matgen.errors import DataError
from matgen.stability.coverage import coverage, missing_formulas, summary
from matgen.stability.energy import EnergyScale
from matgen.stability.references import ReferenceTable


@pytest.fixture
def table() -> ReferenceTable:
    rows = [("Li", "element"), ("P", "element"), ("S", "element"), ("Li2S", "known"), ("Li3P", "known")]
    rows += [("LiP", "guessed"), ("Li3PS4", "known")]
    frame = pd.DataFrame(rows, columns=["formula", "origin"]).assign(energy=-1.0, n_atoms=1, relaxed=True)
    return ReferenceTable(frame, EnergyScale("toy"), "toy")


def rows(found: pd.DataFrame) -> dict[str, dict]:
    return {row["system"]: row for row in found.to_dict("records")}


def test_counts_by_hand(table):
    found = rows(coverage(table))
    assert set(found) == {"Li-S", "Li-P", "Li-P-S"}
    assert (found["Li-P-S"]["compounds"], found["Li-P-S"]["with_subsystems"], found["Li-P-S"]["guessed"]) == (1, 4, 1)
    assert (found["Li-S"]["thin"], found["Li-P"]["thin"], found["Li-P-S"]["thin"]) == (True, False, False)
    assert found["Li-S"]["complete"] is None


def test_complete_means_nothing_of_the_list_is_missing(table):
    known = ["Li2S", "Li4S2", "Li3P", "P2S5", "Li3PS4", "NaCl", "S8"]
    found = rows(coverage(table, known))
    assert {name: row["missing"] for name, row in found.items()} == {
        "Li-S": 0, "Li-P": 0, "P-S": 1, "Li-P-S": 1, "Cl-Na": 1,
    }  # fmt: skip
    assert {name for name, row in found.items() if row["complete"]} == {"Li-S", "Li-P"}
    assert missing_formulas(table, known) == ["NaCl", "P2S5"]
    assert summary(coverage(table, known)).to_dict("records") == [
        {"elements": 2, "systems": 4, "compounds": 3, "thin": 3, "complete": 2, "complete_and_not_thin": 1},
        {"elements": 3, "systems": 1, "compounds": 1, "thin": 0, "complete": 0, "complete_and_not_thin": 0},
    ]


def test_the_verb_counts_the_shipped_table(tmp_path):
    known, out = tmp_path / "known.csv", tmp_path / "systems.csv"
    known.write_text("compound\nNaCl\nNaN\nNa2Cl7\n")  # NaN is sodium nitride, not a gap
    options = ["--known", str(known), "--formula", "compound", "--out", str(out), "--json"]
    said = json.loads(CliRunner().invoke(app, ["references", *options], catch_exceptions=False).stdout)
    assert said["reference"] == "chgnet-0.3.0"
    by_size = {row["elements"]: row for row in said["by_number_of_elements"]}
    assert by_size[3]["systems"] > 10_000
    assert said["missing_formulas"] >= 1
    assert len(pd.read_csv(out)) == sum(row["systems"] for row in by_size.values())
    one = json.loads(CliRunner().invoke(app, ["references", "--system", "Na-Cl", "--json"]).stdout)
    assert "NaCl" in one["entries_within"]
    with pytest.raises(DataError, match="compound"):
        CliRunner().invoke(app, ["references", "--known", str(known), "--formula", "compund"], catch_exceptions=False)
