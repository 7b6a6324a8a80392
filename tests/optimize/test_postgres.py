"""Four processes on one PostgreSQL study, one of them killed: no trial lost, none evaluated twice.

The server is Debian's package ``postgresql``; the test starts one of its own on a socket in a temporary folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from pools import perovskites

from matgen.optimize.claims import REASON
from matgen.optimize.results import finished
from matgen.optimize.storage import open_storage

WORKER = Path(__file__).with_name("postgres_worker.py")
WANTED = 48


def _programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def server():
    """Address of a running server, in the hands of an unprivileged user where the tests run as root."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    pytest.importorskip("psycopg", reason="the driver is not installed: pip install 'matgen[search]'")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    before = []
    if os.getuid() == 0:
        user = next((u for u in ("postgres", "nobody") if u in {p.pw_name for p in pwd.getpwall()}), None)
        if user is None or shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user to run it")
        before = ["runuser", "-u", user, "--"]
        shutil.chown(folder, user)
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    start = [*before, str(programs / "initdb"), "-D", str(data), "-U", "matgen", "-A", "trust", "--no-sync"]
    subprocess.run(start, check=True, **quiet)
    command = [*before, str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-h", "", "-F"]
    process = subprocess.Popen(command, **quiet)
    try:
        ready = [str(programs / "pg_isready"), "-h", str(folder), "-U", "matgen", "-d", "postgres"]
        for _ in range(150):
            if subprocess.run(ready, check=False, **quiet).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://matgen@/postgres?host={folder}"
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def test_four_processes_one_killed(server, tmp_path):
    pool, journal = tmp_path / "pool.parquet", tmp_path / "journal"
    perovskites(pool)
    journal.touch()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, str(WORKER), server, str(pool), str(journal)]
    team = [subprocess.Popen([*arguments, str(i), str(WANTED)], env=environment) for i in range(4)]
    try:
        victim = _killed_at_work(journal, {str(p.pid): p for p in team})
        for process in team:
            assert process.wait(timeout=120) == (-9 if process is victim else 0)
    finally:
        for process in team:
            process.kill()
    study = optuna.load_study(study_name="search", storage=open_storage(server))
    done = finished(study)
    assert len(done) >= WANTED
    assert len({t.user_attrs["key"] for t in done}) == len(done)
    ends = Counter(line.split()[1] for line in journal.read_text().splitlines() if line.startswith("end"))
    begun = Counter(line.split()[1] for line in journal.read_text().splitlines() if line.startswith("begin"))
    at_death = {line.split()[1] for line in journal.read_text().splitlines() if line.split()[2] == str(victim.pid)}
    assert {name for name, n in begun.items() if n > 1} <= at_death
    assert set(ends.values()) == {1} or {n for n, c in ends.items() if c > 1} <= at_death
    assert set(begun) == {t.user_attrs["key"] for t in done}
    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    lost = [t for t in study.trials if t.state == TrialState.FAIL and REASON not in t.user_attrs]
    assert lost
    repeated = {t.user_attrs.get("retry_of") for t in study.trials}
    assert {t.number for t in lost if t.params} <= repeated


def _killed_at_work(journal, team):
    """Kill a process in the middle of its second or later evaluation."""
    for _ in range(3600):
        lines = [line.split() for line in journal.read_text().splitlines()]
        for kind, _, process in reversed(lines):
            if kind == "begin" and sum(line[2] == process for line in lines) > 4:
                team[process].kill()
                return team[process]
        time.sleep(0.05)
    raise AssertionError("no process got to work")
