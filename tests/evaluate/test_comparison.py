"""Generators trained and judged side by side on a handful of crystals."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.io import write

from matgen.errors import ConfigError
from matgen.evaluate.comparison import LEADERBOARD, ROW, Budget, compare, families
from matgen.report.leaderboard import write_leaderboard

SMALL = {"flow": {"width": 32, "layers": 1, "heads": 2, "channels": 8}}
BUDGET = Budget(minutes=0.02, samples=8, relaxed=2)


@pytest.fixture(scope="module")
def salts(tmp_path_factory):
    path = tmp_path_factory.mktemp("salts") / "salts.extxyz"
    edges = {"NaCl": 5.64, "KCl": 6.29, "LiF": 4.03, "MgO": 4.21, "CaO": 4.81, "KBr": 6.6, "NaF": 4.63, "SrO": 5.16}
    write(path, [bulk(formula, "rocksalt", a=a) for formula, a in edges.items()])
    return path


def test_a_leaderboard_of_a_trained_family_and_retrieval(salts, tmp_path):
    found = compare(salts, tmp_path, ["flow", "retrieval"], budget=BUDGET, config=SMALL)
    assert set(found.table["generator"]) == {"flow", "retrieval"}
    by_name = found.table.set_index("generator")
    assert by_name.loc["flow", "parameters"] > 1000
    assert by_name.loc["flow", "steps"] > 10
    assert by_name.loc["retrieval", "structural_validity"] == 1
    assert by_name.loc["retrieval", "near_hull"] >= 0
    assert found.table["score"].is_monotonic_decreasing
    assert found.recommended in {"flow", "retrieval", "none"}
    assert found.recommended in (tmp_path / f"{LEADERBOARD}.md").read_text()
    page = write_leaderboard(found, tmp_path).read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")

    # What is done is not done again: the same call reads the rows.
    row = tmp_path / "flow" / ROW
    row.write_text(json.dumps({**json.loads(row.read_text()), "score": 2.0}))
    again = compare(salts, tmp_path, ["flow", "retrieval"], budget=BUDGET, config=SMALL)
    assert again.recommended == "flow"


def test_families_are_those_that_can_be_trained():
    assert {"flow", "retrieval"} <= set(families())
    assert "random-symmetric" not in families()


def test_clear_errors(salts, tmp_path):
    with pytest.raises(ConfigError, match="no generator or model is called 'flo'"):
        compare(salts, tmp_path, ["flo"])
    with pytest.raises(ConfigError, match="positive"):
        Budget(minutes=0)
