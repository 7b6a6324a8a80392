"""What was worked on once is not worked on again; candidates that a ladder refuses early are free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
from pools import perovskites

from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.optimize import optimize
from matgen.optimize.memory import Remembering
from matgen.optimize.results import candidates_of, evaluations, finished
from matgen.optimize.rungs.base import RUNGS, Rung

CALLS = []


def square(items, power=2):
    CALLS.extend(item["x"] for item in items)
    failing = {2: {"error": "no time"}, 3: {"status": "timeout"}}
    return [failing.get(item["x"], {"y": item["x"] ** power}) for item in items]


@pytest.fixture(autouse=True)
def _forget():
    CALLS.clear()


def items(*values):
    return [{"x": value} for value in values]


def test_an_item_is_worked_on_once_for_the_same_settings(tmp_path):
    executor = Remembering(Serial(), tmp_path / "kept" / "memory.db")
    assert executor.map(square, items(1, 4), name="a", shard=1) == [{"y": 1}, {"y": 16}]
    again = Remembering(Serial(), tmp_path / "kept" / "memory.db")
    assert again.map(square, items(5, 4, 1), name="b", shard=2) == [{"y": 25}, {"y": 16}, {"y": 1}]
    assert CALLS == [1, 4, 5]
    assert again.map(partial(square, power=3), items(4), name="a", shard=1) == [{"y": 64}]
    assert CALLS == [1, 4, 5, 4]


def test_failures_that_may_pass_are_tried_again(tmp_path):
    executor = Remembering(Serial(), tmp_path / "memory.db")
    for _ in range(2):
        assert executor.map(square, items(2, 3), name="a", shard=1) == [{"error": "no time"}, {"status": "timeout"}]
    assert CALLS == [2, 3, 2, 3]


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, and no database at all " * 20)
    with pytest.raises(ConfigError, match="cannot be used"):
        Remembering(Serial(), path).map(square, items(1), name="a", shard=1)


@RUNGS.register("coin")
@dataclass
class Coin(Rung):
    """Lets every second candidate go on, or none, and counts those."""

    name = "coin"

    none: bool = False

    def climb(self, candidates, aims, limits, executor):
        refused = [None if i % 2 == 0 and not self.none else "bad luck" for i in range(len(candidates))]
        left = candidates.reject("coin", refused)
        return left.with_columns({"reached": [True] * len(left)})


def test_only_what_got_so_far_counts(tmp_path):
    perovskites(tmp_path / "pool.parquet")
    space = {"pool": {"source": str(tmp_path / "pool.parquet")}}
    made = {"ladder": {"rungs": ["coin"]}}
    study = optimize(space, made, [{"property": "value"}], sampler="random", evaluations=12, batch=4, count="reached")
    assert len(finished(study)) == evaluations(study, "reached") == 12
    assert evaluations(study) == len(finished(study)) + len(candidates_of(study).rejected) >= 20
    never = optimize(space, {"ladder": {"rungs": [{"coin": {"none": True}}]}}, [{"property": "value"}],
                     sampler="random", evaluations=12, batch=4, count="reached")  # fmt: skip
    assert evaluations(never, "reached") == 0
