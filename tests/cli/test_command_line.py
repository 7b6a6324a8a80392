"""The command line from outside: exit codes, what goes to stdout and stderr, and no heavy imports for help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.registry import load_user_file
from matgen.workflow.run import run

TOY = Path(__file__).parents[1] / "workflow" / "toy_workflow.py"


def matgen(*arguments, cwd=None):
    command = [sys.executable, "-m", "matgen", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def workflow(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(f"workflow: toy\nplugins: [{TOY}]\nworkers: 1\nn: 12\n")
    return file


def test_help_imports_nothing_heavy():
    code = """
import sys
from matgen.cli import app
from typer.testing import CliRunner
import matgen
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0, result.output
heavy = {"torch", "pymatgen", "pandas", "numpy", "ase", "scipy", "sklearn", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_gives_its_record_as_json_and_goes_on_as_done(workflow, tmp_path):
    first = matgen("run", workflow, "--set", "top=3", "--out", tmp_path / "run", "--json")
    assert first.returncode == 0, first.stderr
    record = json.loads(first.stdout)
    assert record["state"] == "done"
    assert [step["left"] for step in record["funnel"]] == [12, 11, 3]
    assert "stage 1 of 3" in first.stderr
    again = matgen("run", workflow, "--set", "top=3", "--out", tmp_path / "run")
    assert "stage 1 of 3" not in again.stderr
    assert str(tmp_path / "run" / "candidates.parquet") in again.stdout.replace("\n", "")


def test_the_default_folder_is_named_after_the_file(workflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(workflow, executor=Serial()).folder == tmp_path / "runs" / "toy"


def test_a_configuration_error_is_exit_code_2_and_one_line(workflow, tmp_path):
    result = matgen("run", workflow, "--set", "tpo=3", cwd=tmp_path)
    assert result.returncode == 2
    assert "Did you mean 'top'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nothing.yaml"], "no such workflow file"),
        (["run", "toi"], "'toy'"),
        (["describe", "min_distnace"], "'min_distance'"),
        (["list", "generater"], "'generators'"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(arguments, said):
    load_user_file(TOY)
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_refused_data_is_exit_code_3(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")
    result = matgen("rank", tmp_path / "bad.parquet")
    assert result.returncode == 3
    assert "bad.parquet" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_package_is_exit_code_4_and_says_how_to_get_it(tmp_path):
    code = """
import sys
sys.modules["chgnet"] = None  # as if it were not installed
from matgen.cli.console import guarded
from matgen.runtime import require
guarded(lambda: require("chgnet", "potentials"))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 4
    assert "pip install 'matgen[potentials]'" in result.stderr


def test_anything_else_is_exit_code_1(workflow, tmp_path):
    plugin = tmp_path / "broken.py"
    plugin.write_text("raise RuntimeError('the plugin is broken')\n")
    result = matgen("run", workflow, "--set", f"plugins=[{plugin}]")
    assert result.returncode == 1
    assert "unexpected error: RuntimeError: the plugin is broken" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_traceback_is_shown_on_request():
    code = "from matgen.cli.console import guarded; guarded(lambda: 1 / 0)"
    environment = {**os.environ, "MATGEN_TRACEBACK": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_check_shows_the_resolved_configuration_and_runs_nothing(workflow, tmp_path):
    result = matgen("run", workflow, "--check", "--json", "--set", "measure.shard=7", cwd=tmp_path)
    assert json.loads(result.stdout)["measure"]["shard"] == 7
    assert not (tmp_path / "runs").exists()


def test_ranking_a_file_by_objectives_of_ones_own(tmp_path, rocksalt):
    table = pd.DataFrame({"id": ["a", "b"], "band_gap": [0.5, 5.0], "rank": [1, 2], "reasons": ["old", "old"]})
    Candidates(table, [rocksalt] * 2).write(tmp_path)
    file, out = tmp_path / "candidates.parquet", tmp_path / "best.parquet"
    result = matgen("rank", file, "--objective", "band_gap:maximise:0:6", "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    top = json.loads(result.stdout)["top"]
    assert [row["id"] for row in top] == ["b", "a"]
    assert top[0]["desirability"] == pytest.approx(5 / 6)
    assert list(Candidates.from_file(out).table["id"]) == ["b", "a"]
    for wrong, said in [("band_gap:max:0:6", "goal"), ("band_gap", "no objective"), ("gap:maximise:0:6", "'band_gap'")]:
        with pytest.raises(ConfigError, match=said):
            CliRunner().invoke(app, ["rank", str(file), "--objective", wrong], catch_exceptions=False)


def test_lists_and_descriptions_are_valid_json():
    assert "min_distance" in json.loads(CliRunner().invoke(app, ["list", "constraints", "--json"]).stdout)
    described = json.loads(CliRunner().invoke(app, ["describe", "density", "--json"]).stdout)
    assert described["constraints"]["roles"]
    assert described["properties"]["unit"] == "g/cm³"


def test_doctor_knows_the_versions_the_device_and_the_extras():
    found = json.loads(matgen("doctor", "--json").stdout)
    assert found["versions"]["torch"] != "not installed"
    assert found["problems"] == []
    assert found["extras"]["dev"]["install"] == "pip install 'matgen[dev]'"
    assert found["device"] in {"cpu", "cuda"}
