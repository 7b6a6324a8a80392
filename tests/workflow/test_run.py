"""Runs: resumable, reproducible, whole files or none, one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError, MatgenError
from matgen.execution import Serial
from matgen.registry import load_user_file
from matgen.workflow.config import WORKFLOWS, load_workflow
from matgen.workflow.run import run

HERE = Path(__file__).parent
load_user_file(HERE / "toy_workflow.py")
RUNNER = """
import sys
from matgen.workflow.run import run
run({"workflow": "toy", "plugins": [sys.argv[1]], "n": 40}, sys.argv[3:], out=sys.argv[2])
"""


def toy(tmp_path, *settings, out="run", executor=None):
    return run({"workflow": "toy"}, settings, out=tmp_path / out, executor=executor or Serial())


def start(out, *settings):
    command = [sys.executable, "-c", RUNNER, str(HERE / "toy_workflow.py"), str(out), *settings]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def lock_of(out):
    return (out / ".lock").read_text() if (out / ".lock").exists() else ""


def products(folder):
    return [(Path(folder) / name).read_bytes() for name in ("candidates.parquet", "rejected.parquet")]


def test_a_run_leaves_its_table_record_configuration_and_environment(tmp_path):
    result = toy(tmp_path, "seed=3")
    assert len(result.candidates) == 5
    assert len(result.candidates.rejected) == 15
    assert "ValueError: seven is unlucky" in set(result.candidates.rejected["reason"])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["funnel"] == [
        {"stage": "draw", "entered": 20, "left": 20},
        {"stage": "measure", "entered": 20, "left": 19},
        {"stage": "choose", "entered": 19, "left": 5},
    ]
    assert record["state"] == "done"
    assert record["protocol"] == {"model": "toy"}
    assert record["timings"].keys() == {"draw", "measure", "choose"}
    assert "seed: 3" in (tmp_path / "run" / "config.yaml").read_text()
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["matgen"]
    assert "stage 1 of 3: draw" in (tmp_path / "run" / "run.log").read_text()
    assert sorted(p.name for p in (tmp_path / "run").glob("0*")) == ["01-draw", "02-measure", "04-choose"]


def test_the_resolved_configuration_reproduces_the_run(tmp_path):
    first = toy(tmp_path, "seed=9", "top=3", "measure.shard=2")
    again = run(tmp_path / "run" / "config.yaml", out=tmp_path / "again", executor=Serial())
    assert again.config == first.config
    assert products(first.folder) == products(again.folder)


@pytest.mark.parametrize(("shard", "workers"), [(1, 2), (7, 1), (64, 2)])
def test_shards_and_workers_do_not_change_the_result(tmp_path, shard, workers):
    expected = products(toy(tmp_path, out="expected").folder)
    run({"workflow": "toy"}, [f"measure.shard={shard}", f"workers={workers}"], out=tmp_path / "run")
    assert products(tmp_path / "run") == expected


def test_what_is_done_is_not_done_again(tmp_path):
    journal = tmp_path / "journal"
    toy(tmp_path, f"measure.journal={journal}")
    first = journal.read_text()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("0*/*")}
    toy(tmp_path, f"measure.journal={journal}")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("0*/*")} == before
    assert journal.read_text() == first


def test_a_changed_setting_redoes_its_stage_and_what_follows_and_shards_are_reused(tmp_path):
    journal = tmp_path / "journal"
    toy(tmp_path, f"measure.journal={journal}", "top=5", "n=20")
    measured = len(journal.read_text().split())
    drawn = (tmp_path / "run" / "01-draw" / "stage.json").stat().st_mtime_ns
    assert len(toy(tmp_path, f"measure.journal={journal}", "top=4").candidates) == 4
    assert (tmp_path / "run" / "01-draw" / "stage.json").stat().st_mtime_ns == drawn
    assert len(journal.read_text().split()) == measured
    assert len(toy(tmp_path, f"measure.journal={journal}", "top=4", "n=22").candidates.rejected) == 18
    assert len(journal.read_text().split()) <= measured + 2 + 3 + 3  # only the last, changed shards


def test_results_of_shards_do_not_outlive_the_files_that_workers_read(tmp_path):
    library, journal = tmp_path / "library", tmp_path / "journal"
    for content in ("one", "one", "two"):
        library.write_text(content)
        toy(tmp_path, f"library={library}", "measure.reads=true", f"measure.journal={journal}")
    assert journal.read_text().split().count("0") == 2


def test_a_changed_plugin_makes_everything_new(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text("FIRST = 1\n")
    first = toy(tmp_path, f"plugins=[{plugin}]").record["stages"]
    assert toy(tmp_path, f"plugins=[{plugin}]").record["stages"] == first
    plugin.write_text("SECOND = 2\n")
    second = toy(tmp_path, f"plugins=[{plugin}]").record["stages"]
    assert all(a["fingerprint"] != b["fingerprint"] for a, b in zip(first, second, strict=True))


def test_other_hidden_files_in_the_folder_of_a_run_are_left_alone(tmp_path):
    toy(tmp_path)
    (tmp_path / "run" / ".gitignore").write_text("*")
    (tmp_path / "run" / ".candidates.parquet.x1.parquet").write_text("begun by a killed process")
    toy(tmp_path)
    assert {path.name for path in (tmp_path / "run").glob(".*")} == {".lock", ".gitignore"}


def test_a_changed_input_file_redoes_the_stage_that_reads_it(tmp_path):
    library = tmp_path / "library"
    library.mkdir()
    (library / "a.txt").write_text("one")
    first = toy(tmp_path, f"library={library}").record["stages"]
    assert toy(tmp_path, f"library={library}").record["stages"] == first
    (library / "a.txt").write_text("two")
    assert toy(tmp_path, f"library={library}").record["stages"] != first


@pytest.mark.parametrize("damage", ["cut", "gone", "stage.json"])
def test_a_damaged_stage_is_done_again(tmp_path, damage):
    expected = products(toy(tmp_path).folder)
    victim = tmp_path / "run" / "02-measure" / ("stage.json" if damage == "stage.json" else "candidates.parquet")
    whole = victim.read_bytes()
    for cut in range(1, 65, 21):
        victim.write_bytes(whole[:-cut])
        if damage == "gone":
            victim.unlink()
        toy(tmp_path)
        assert Candidates.read(tmp_path / "run" / "02-measure").table["energy"].notna().all()
        assert products(tmp_path / "run") == expected


def test_a_missing_product_is_laid_out_again(tmp_path):
    expected = products(toy(tmp_path).folder)
    (tmp_path / "run" / "candidates.parquet").unlink()
    toy(tmp_path)
    assert products(tmp_path / "run") == expected


def test_killed_at_twenty_random_moments_a_run_ends_with_the_same_table(tmp_path):
    assert start(tmp_path / "expected").wait() == 0
    settings = ["measure.slow=0.02", "measure.shard=2", "workers=2"]
    rng, kills, out = np.random.default_rng(1), 0, tmp_path / "run"
    while kills < 20:
        process = start(out, *settings)
        while process.poll() is None and str(process.pid) not in lock_of(out):
            time.sleep(0.02)  # until it is past its imports
        try:
            process.wait(rng.uniform(0.0, 1.5))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0, process.stderr.read()
        assert products(out) == products(tmp_path / "expected")
        shutil.rmtree(out)
    assert start(out, *settings).wait() == 0
    assert products(out) == products(tmp_path / "expected")
    assert not [path for path in out.glob(".*") if path.name != ".lock"]


def test_two_processes_on_one_run_are_refused(tmp_path):
    first = start(tmp_path / "run", "measure.slow=0.1")
    while not (tmp_path / "run" / "01-draw").exists():
        time.sleep(0.05)
    with pytest.raises(ConfigError, match=rf"process {first.pid} since .* works on this run"):
        toy(tmp_path)
    first.kill()
    first.wait()
    toy(tmp_path)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="holds other things than a run"):
        toy(tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="is a file"):
        run({"workflow": "toy"}, out=tmp_path / "run" / "thesis.tex")


def test_a_run_of_another_kind_is_refused(tmp_path):
    folder = toy(tmp_path).folder
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "workflow": "other"}))
    with pytest.raises(ConfigError, match="holds a run of 'other'"):
        toy(tmp_path)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 9, 17, 30, 60])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device")])
def test_a_disk_that_fails_at_the_nth_write_leaves_old_or_new_and_the_run_goes_on(tmp_path, monkeypatch, number, error):
    calls = 0

    def failing(handle, real=os.fsync):
        nonlocal calls
        calls += 1
        if calls == number:
            raise error
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing)
        with pytest.raises(MatgenError, match="No space left"):
            toy(tmp_path, "measure.shard=5")
    toy(tmp_path, "measure.shard=5")
    assert products(tmp_path / "run") == products(toy(tmp_path, out="expected").folder)


def test_a_disk_quota_stops_the_run_and_it_goes_on_afterwards(tmp_path):
    code = f"""
import resource, sys
from matgen.execution import Serial
from matgen.workflow.run import run
resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000))
run({{"workflow": "toy", "plugins": [{str(HERE / "toy_workflow.py")!r}]}}, out={str(tmp_path / "run")!r},
    executor=Serial())
"""
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "File too large" in failed.stderr or "disk" in failed.stderr
    toy(tmp_path)
    assert products(tmp_path / "run") == products(toy(tmp_path, out="expected").folder)


def test_every_default_is_spelled_out():
    config = load_workflow({"workflow": "toy"})
    assert isinstance(config, WORKFLOWS.get("toy"))
    assert {"seed", "workers", "n", "measure"} <= set(config.text().replace(":", " ").split())
