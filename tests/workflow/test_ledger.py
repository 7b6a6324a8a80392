"""The ledger: each shard once, whoever dies and whatever is torn."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from matgen.errors import ConfigError
from matgen.workflow.ledger import DATABASE, Ledger, file_system, refuse_network

CLAIMER = """
import sys
from matgen.workflow.ledger import Ledger
ledger = Ledger(sys.argv[1], attached=True)
for i in range(int(sys.argv[2])):
    with ledger.lease(f"k{i}") as held:
        if held:
            print(i)
            ledger.finish(f"k{i}", [{"i": i}])
"""


def keys(n):
    return [(f"k{i}", "test", 1) for i in range(n)]


def test_eight_processes_claim_each_shard_exactly_once(tmp_path):
    n = 400
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(n))
        command = [sys.executable, "-c", CLAIMER, str(tmp_path), str(n)]
        claimers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
        outputs = [claimer.communicate()[0].split() for claimer in claimers]
        assert [claimer.returncode for claimer in claimers] == [0] * 8
        assert sorted(int(i) for output in outputs for i in output) == list(range(n))
        assert set(ledger.attempts().values()) == {1}
        assert [ledger.result(f"k{i}") for i in range(n)] == [[{"i": i}] for i in range(n)]


def test_a_claim_is_had_once_until_its_lease_has_run_out(tmp_path):
    with closing(Ledger(tmp_path, heartbeat=0.05)) as first, closing(Ledger(tmp_path, heartbeat=0.05)) as second:
        first.register(keys(1))
        assert first.claim("k0")
        assert not second.claim("k0")
        time.sleep(0.1)  # two heartbeats without a sign of life
        assert second.claim("k0")


def test_a_lease_lasts_while_its_block_does(tmp_path):
    with closing(Ledger(tmp_path, heartbeat=0.05)) as first, closing(Ledger(tmp_path, heartbeat=0.05)) as second:
        first.register(keys(1))
        with first.lease("k0") as held:
            assert held
            time.sleep(0.4)
            with second.lease("k0") as also:
                assert not also


def test_a_block_that_fails_gives_its_shard_back(tmp_path):
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(1))
        with pytest.raises(RuntimeError), ledger.lease("k0"):
            raise RuntimeError
        assert ledger.states() == {"k0": "ready"}


def test_the_claims_of_a_dead_process_are_released_and_those_of_a_living_one_kept(tmp_path):
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(2))
        code = "import sys; from matgen.workflow.ledger import Ledger; Ledger(sys.argv[1]).claim('k0')"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        ledger.claim("k1")
        assert ledger.release_dead() == 1
        assert ledger.states() == {"k0": "ready", "k1": "running"}


def test_a_result_lags_behind_its_file_but_never_runs_ahead(tmp_path):
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(1))
        ledger.finish("k0", [{"x": float("nan"), "text": "Å"}])
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as database:
            database.execute("UPDATE shards SET state = 'running', owner = 'x/1/1'")
        assert ledger.result("k0")[0]["text"] == "Å"
        assert ledger.states() == {"k0": "done"}
        (tmp_path / "k0.jsonl").unlink()
        assert ledger.result("k0") is None
        assert ledger.states() == {"k0": "ready"}


def test_every_cut_of_a_result_file_is_noticed(tmp_path):
    rows = [{"x": i / 7, "text": "Å³"} for i in range(5)]
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(1))
        ledger.finish("k0", rows)
        file = tmp_path / "k0.jsonl"
        whole = file.read_bytes()
        for cut in range(len(whole)):
            file.write_bytes(whole[:cut])
            assert ledger.result("k0") is None, cut
        file.write_bytes(whole)
        assert ledger.result("k0") == rows


@pytest.mark.parametrize("part", [DATABASE, f"{DATABASE}-wal"])
def test_a_ledger_cut_at_each_of_its_last_bytes_goes_on(tmp_path, part):
    code = """
import os, sys
from matgen.workflow.ledger import Ledger
ledger = Ledger(sys.argv[1])
ledger.register([(f"k{i}", "test", 1) for i in range(6)])
for i in range(3):
    ledger.finish(f"k{i}", [{"i": i}])
os._exit(0)  # as if killed: the write-ahead log stays
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(kept[part]) > 64
    for cut in range(1, 65):
        for file in tmp_path.iterdir():
            file.unlink()
        for name, content in kept.items():
            if not name.endswith("-shm"):
                (tmp_path / name).write_bytes(content[: len(content) - cut] if name == part else content)
        with closing(Ledger(tmp_path)) as ledger:
            ledger.register(keys(6))
            assert [ledger.result(f"k{i}") for i in range(6)] == [[{"i": i}] for i in range(3)] + [None] * 3
            assert ledger.claim("k5")


def test_a_ledger_that_is_no_database_is_rebuilt_from_the_results(tmp_path, caplog):
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(2))
        ledger.finish("k0", [{"i": 0}])
    (tmp_path / DATABASE).write_bytes(os.urandom(5000))
    with closing(Ledger(tmp_path)) as ledger:
        ledger.register(keys(2))
        assert ledger.result("k0") == [{"i": 0}]
        assert ledger.states() == {"k0": "done", "k1": "ready"}
    assert "rebuilt" in caplog.text


def test_a_network_file_system_is_refused_unless_told(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/far\\040away nfs4 rw 0 0\n")
    assert file_system(Path("/etc"), mounts) == "ext4"
    assert file_system(tmp_path / "far away" / "runs", mounts) == "nfs4"
    assert file_system(tmp_path, tmp_path / "absent") is None
    monkeypatch.setattr("matgen.workflow.ledger.file_system", lambda _: "nfs4")
    with pytest.raises(ConfigError, match="network file system"):
        refuse_network(tmp_path)
    with pytest.raises(ConfigError, match="network_folder"):
        Ledger(tmp_path / "ledger")
    Ledger(tmp_path / "ledger", network=True).close()
