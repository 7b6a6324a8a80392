"""Few transactions: nothing kept back is lost, nothing stale decides, and Optuna's own reading sees the same study."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from matgen.optimize.claims import claims
from matgen.optimize.samplers import Tpe
from matgen.optimize.storage import open_storage
from matgen.optimize.transactions import one_reading, sent


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


def opened_twice(address):
    """The same study as two processes see it: one of few transactions, one of Optuna's own."""
    mine = optuna.create_study(storage=open_storage(address), study_name="s")
    return mine, optuna.load_study(storage=optuna.storages.RDBStorage(address), study_name="s")


def test_what_is_told_is_what_others_read(address):
    mine, theirs = opened_twice(address)
    for value in (1.0, 2.0):
        trial = mine.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", ["a", "b"])
        trial.set_user_attr("note", "first")
        trial.set_user_attr("note", [value])
        trial.set_constraint("limit", value - 1.5)
        mine.tell(trial, value)
    for own, other in zip(mine.trials, theirs.trials, strict=True):
        assert (own.params, own.user_attrs, own.constraints, own.values) == (
            other.params, other.user_attrs, other.constraints, other.values,
        )  # fmt: skip
    assert [t.user_attrs["note"] for t in theirs.trials] == [[1.0], [2.0]]


def test_an_attribute_that_was_sent_is_replaced(address):
    mine, theirs = opened_twice(address)
    trial = mine.ask()
    trial.set_user_attr("claim", 1)
    sent(mine)
    trial.set_user_attr("claim", 2)
    assert theirs.trials[0].user_attrs == {"claim": 1}
    sent(mine)
    assert theirs.trials[0].user_attrs == {"claim": 2}


def test_one_reading_sees_own_writes_at_once_and_others_later(address):
    mine, theirs = opened_twice(address)
    with one_reading(mine):
        assert mine.get_trials(deepcopy=False) == []
        theirs.tell(theirs.ask(), 3.0)
        trial = mine.ask()
        trial.suggest_float("x", 0, 1)
        seen = mine.get_trials(deepcopy=False)
        assert [t.number for t in seen] == [1]
        assert seen[0].params == trial.params
    assert [t.state for t in mine.trials] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_writes_to_a_trial_that_others_ended_are_dropped(address):
    mine, theirs = opened_twice(address)
    lost, kept = mine.ask(), mine.ask()
    theirs.tell(lost.number, state=TrialState.FAIL)
    lost.set_user_attr("note", "late")
    kept.set_user_attr("note", "in time")
    sent(mine)
    assert [t.user_attrs for t in theirs.trials] == [{}, {"note": "in time"}]


def test_claims_of_a_batch_are_decided_together(address):
    mine, theirs = opened_twice(address)
    first = theirs.ask()
    assert claims(theirs, [(first, "A")]) == [None]
    batch = [mine.ask() for _ in range(3)]
    decided = claims(mine, list(zip(batch, ["A", "B", "B"], strict=True)))
    assert [getattr(found, "number", None) for found in decided] == [first.number, None, batch[1].number]


@pytest.mark.parametrize("liar", [False, True])
def test_tpe_suggests_what_optuna_suggests(liar):
    kinds = (Tpe, optuna.samplers.TPESampler)
    points = []
    for kind in kinds:
        study = optuna.create_study(sampler=kind(seed=0, multivariate=True, constant_liar=liar))
        points.append([])
        for _ in range(6):
            batch = [study.ask() for _ in range(4)]
            xs = [(trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 9)) for trial in batch]
            points[-1] += xs
            for trial, (x, n) in zip(batch, xs, strict=True):
                study.tell(trial, (x - 0.3) ** 2 + n)
    assert points[0] == points[1]
