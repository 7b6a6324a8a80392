import contextlib
import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from matgen.errors import MatgenError
from matgen.execution import Pool, Serial, time_limit
from matgen.registry import USER_FILES, load_user_file


def double(items):
    return [{"value": 2 * item["x"], "pid": os.getpid()} for item in items]


def power(items, exponent):
    return [{"value": item["x"] ** exponent} for item in items]


def moody(items):
    for item in items:
        match item.get("mood"):
            case "raise":
                raise ValueError("no good")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                sys.exit(3)
            case "hang":
                time.sleep(1000)
            case "short":
                return []
            case "hungry":
                bytearray(3 << 30)
    return [{"value": item["x"]} for item in items]


def threads(items):
    return [{"value": os.environ["OMP_NUM_THREADS"]} for _ in items]


@pytest.fixture(scope="module")
def pool():
    with Pool(2, memory=2.0) as pool:
        yield pool


@pytest.mark.parametrize("n", [0, 1, 5, 23])
@pytest.mark.parametrize("shard", [1, 4, 100])
def test_rows_keep_the_order_of_the_items(pool, n, shard):
    items = [{"x": i} for i in range(n)]
    expected = [2 * i for i in range(n)]
    for executor in (Serial(), pool):
        rows = executor.map(double, items, name="double", shard=shard)
        assert [row["value"] for row in rows] == expected


def test_workers_are_other_processes_with_one_thread(pool):
    items = [{"x": i} for i in range(50)]
    assert os.getpid() not in {row["pid"] for row in pool.map(double, items, name="double", shard=1)}
    assert pool.map(threads, [{}], name="threads", shard=1) == [{"value": "1"}]


def test_partial_functions_carry_their_settings(pool):
    rows = pool.map(functools.partial(power, exponent=3), [{"x": 2}, {"x": 3}], name="power", shard=1)
    assert [row["value"] for row in rows] == [8, 27]


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("raise", "ValueError: no good"),
        ("die", "SIGKILL"),
        ("leave", "exit code 3"),
        ("hang", "time limit"),
        ("short", "1 items gave 0 rows"),
        ("hungry", "MemoryError"),
    ],
)
def test_a_bad_item_costs_only_its_own_row(pool, mood, reason):
    items = [{"x": i, "mood": mood if i in {3, 4} else ""} for i in range(9)]
    rows = pool.map(moody, items, name="moody", shard=4, seconds=0.5)
    assert [row.get("value") for row in rows] == [0, 1, 2, None, None, 5, 6, 7, 8]
    for row in rows[3:5]:
        assert set(row) == {"error"}
        assert reason in row["error"]


@pytest.mark.parametrize("mood", ["raise", "short"])
def test_serial_retries_item_by_item(mood):
    items = [{"x": i, "mood": mood if i == 1 else ""} for i in range(4)]
    rows = Serial().map(moody, items, name="moody", shard=4)
    assert [row.get("value") for row in rows] == [0, None, 2, 3]
    assert "error" in rows[1]


def test_a_function_that_workers_cannot_import_is_one_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fleeting.py").write_text("def same(items): return list(items)")
    import fleeting

    (tmp_path / "fleeting.py").unlink()
    with Pool(1) as pool, pytest.raises(MatgenError, match="fleeting"):
        pool.map(fleeting.same, [{"x": 1}], name="same", shard=1)


def test_users_files_are_loaded_in_workers(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def same(items): return list(items)")
    before = list(USER_FILES)
    load_user_file(path)
    function = sys.modules["matgen_user_mine"].same
    try:
        with Pool(1) as pool:
            assert pool.map(function, [{"x": 1}], name="same", shard=1) == [{"x": 1}]
    finally:
        USER_FILES[:] = before
        del sys.modules["matgen_user_mine"]


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from matgen.execution import Pool\n"
        "from test_execution import double\n"
        "print([r['value'] for r in Pool(2).map(double, [{'x': i} for i in range(4)], name='d', shard=1)])\n"
    )
    run = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.strip() == "[0, 2, 4, 6]", run.stderr
    assert run.stderr == ""


def test_workers_end_when_the_parent_is_killed_in_the_middle(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from matgen.execution import Pool\n"
        "from test_execution import double, moody\n"
        "pool = Pool(1)\n"
        "print(pool.map(double, [{'x': 0}], name='d', shard=1)[0]['pid'], flush=True)\n"
        "pool.map(moody, [{'mood': 'hang'}], name='m', shard=1)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
        stdout=subprocess.PIPE,
        text=True,
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not _runs(worker):
            break
        time.sleep(0.1)
    assert not _runs(worker)


def test_time_limit_stops_the_block_and_nothing_after_it():
    with pytest.raises(TimeoutError), time_limit(0.05):
        time.sleep(10)
    with time_limit(0.2):
        pass
    time.sleep(0.3)


def test_time_limit_stops_a_block_that_swallows_it():
    with pytest.raises(TimeoutError), time_limit(0.05):
        _swallow_once()


def _swallow_once():
    with contextlib.suppress(Exception):
        time.sleep(10)
    time.sleep(10)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
