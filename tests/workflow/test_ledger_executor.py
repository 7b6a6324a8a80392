"""The ledger's executor: the same rows as any other, finished shards never again, and nothing lost by kills."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from shard_work import square, touchy

from matgen.errors import MatgenError
from matgen.execution import Pool, Serial
from matgen.workflow.ledger import Ledger
from matgen.workflow.ledger_executor import LedgerExecutor

HERE = Path(__file__).parent
MAPPER = """
import sys
from functools import partial
from matgen.execution import Pool
from matgen.workflow.ledger_executor import LedgerExecutor
from shard_work import square

folder, journal, workers, seconds = sys.argv[1:5]
work = partial(square, journal=journal, seconds=float(seconds))
with Pool(int(workers)) as pool:
    rows = LedgerExecutor(folder, pool).map(work, [{"x": i} for i in range(60)], name="square", shard=2)
assert [row["y"] for row in rows] == [i**2 + 0.1 for i in range(60)]
"""


def items(n):
    return [{"x": i} for i in range(n)]


def mapper(tmp_path, workers, seconds):
    command = [sys.executable, "-c", MAPPER, str(tmp_path / "ledger"), str(tmp_path / "journal"), str(workers)]
    return subprocess.Popen([*command, str(seconds)], cwd=HERE)


@pytest.mark.parametrize("shard", [1, 7, 64])
def test_shard_size_and_workers_do_not_change_the_rows(tmp_path, shard):
    expected = square(items(30))
    with Pool(2) as pool:
        for name, inner in (("serial", Serial()), ("pool", pool)):
            assert LedgerExecutor(tmp_path / name, inner).map(square, items(30), name="square", shard=shard) == expected


def test_finished_shards_are_read_and_not_run_again(tmp_path):
    work = partial(square, journal=str(tmp_path / "journal"))
    executor = LedgerExecutor(tmp_path / "ledger", Serial())
    first = executor.map(work, items(10), name="square", shard=4)
    assert executor.map(work, items(12), name="square", shard=4) == [*first, *square([{"x": 10}, {"x": 11}])]
    assert Counter((tmp_path / "journal").read_text().split()) == {str(i): 2 if i in {8, 9} else 1 for i in range(12)}


def test_other_arguments_and_another_scope_are_other_work(tmp_path):
    journal = tmp_path / "journal"
    for scope, seconds in (("a", 0.0), ("b", 0.0), ("b", 0.001), ("b", 0.001)):
        work = partial(square, journal=str(journal), seconds=seconds)
        LedgerExecutor(tmp_path / "ledger", Serial(), scope=scope).map(work, items(2), name="square", shard=2)
    assert Counter(journal.read_text().split()) == {"0": 3, "1": 3}


def test_a_failing_item_is_a_row_with_its_reason_and_harms_no_other(tmp_path):
    with Pool(2) as pool:
        executor = LedgerExecutor(tmp_path, pool)
        rows = executor.map(touchy, items(12), name="touchy", shard=4, seconds=3.0)
        again = LedgerExecutor(tmp_path, Serial()).map(touchy, items(12), name="touchy", shard=4)
    failed = {i: row["error"] for i, row in enumerate(rows) if "error" in row}
    assert [row for i, row in enumerate(rows) if i not in failed] == [{"y": i} for i in range(12) if i not in failed]
    assert failed.keys() == {3, 5, 7, 9}
    assert "three is refused" in failed[3]
    assert "SIGKILL" in failed[5]
    assert "time limit" in failed[7]
    assert "1 items gave 0 rows" in failed[9]
    assert again == rows  # failures are results too: a poisonous structure is not tried at each start


def test_no_items_are_no_work(tmp_path):
    assert LedgerExecutor(tmp_path, Serial()).map(square, [], name="square", shard=4) == []


def test_several_processes_share_the_work_of_one_ledger(tmp_path):
    mappers = [mapper(tmp_path, workers=2, seconds=0.02) for _ in range(2)]
    assert [process.wait() for process in mappers] == [0, 0]
    assert Counter((tmp_path / "journal").read_text().split()) == {str(i): 1 for i in range(60)}


def test_killed_at_any_moment_at_most_the_running_shards_are_done_again(tmp_path):
    workers, kills = 2, 0
    for wait in (0.6, 0.9, 0.7, 1.1, 0.8, 1.3, 1.0):
        process = mapper(tmp_path, workers, seconds=0.1)
        try:
            assert process.wait(wait) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert mapper(tmp_path, workers, seconds=0.1).wait() == 0
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        assert set(ledger.states().values()) == {"done"}
    done = Counter((tmp_path / "journal").read_text().split())
    assert done.keys() == {str(i) for i in range(60)}
    assert sum(done.values()) - 60 <= 2 * workers * kills


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_a_full_or_broken_disk_stops_the_work_and_is_no_item_failure(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    executor = LedgerExecutor(tmp_path, Serial())
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(MatgenError, match=error.strerror):
            executor.map(square, items(4), name="square", shard=2)
    assert executor.map(square, items(4), name="square", shard=2) == square(items(4))


def test_an_error_of_the_function_that_looks_like_the_disk_is_an_item_failure(tmp_path):
    rows = LedgerExecutor(tmp_path, Serial()).map(unreadable, items(1), name="unreadable", shard=1)
    assert "no such weights" in rows[0]["error"]


def unreadable(_):
    raise FileNotFoundError("no such weights")
