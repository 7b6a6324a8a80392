"""No candidate is evaluated twice, however many processes work on one study."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from matgen.optimize.storage import CLAIM, owner
from matgen.optimize.surrogate_sampler import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna
    from optuna.trial import FrozenTrial

DUPLICATE, REASON = "duplicate_of", "reason"
"""User attributes: number of the trial with the same candidate; why a trial has no value."""

_POLL, _LONGEST = 0.02, 30.0


def claim(study: optuna.Study, trial: optuna.Trial, key: str) -> FrozenTrial | None:
    """Claim the candidate called ``key`` for a trial; returns the trial that has it already, if one has.

    Args:
        study: Shared with other processes.
        trial: Running.
        key: Name of its candidate.
    """
    return claims(study, [(trial, key)])[0]


def claims(study: optuna.Study, wishes: Sequence[tuple[optuna.Trial, str]]) -> list[FrozenTrial | None]:
    """Claim a candidate for each of several trials; returns the trials that have them already, where any has.

    Each process first shows its wishes and then looks for others. One that is settled wins over one that is not; of two
    that are not, the later trial gives way at once, and the earlier one waits until it knows what the other does.
    So exactly one goes on, whatever the order in which they read and write, and no lock is needed that only some
    storages have.

    Args:
        study: Shared with other processes.
        wishes: Running trials and the names of their candidates.
    """
    for trial, key in wishes:
        trial.set_user_attr(CLAIM, {"owner": owner(), "settled": False})
        trial.set_user_attr(KEY, key)
    until = time.monotonic() + _LONGEST
    first: dict[int, FrozenTrial | None] = {}
    while True:
        trials = study.get_trials(deepcopy=False)
        for trial, key in wishes:
            if trial.number in first:
                continue
            others = [t for t in trials if t.number != trial.number and _wishes(t, key)]
            winner = _winner(others, trial.number)
            if winner is not None:
                trial.set_user_attr(DUPLICATE, winner.number)
            elif any(not _settled(t) for t in others) and time.monotonic() <= until:
                continue
            else:
                trial.set_user_attr(CLAIM, {"owner": owner(), "settled": True})
            first[trial.number] = winner
        if len(first) == len(wishes):
            return [first[trial.number] for trial, _ in wishes]
        time.sleep(_POLL)


def _winner(others: Sequence[FrozenTrial], own: int) -> FrozenTrial | None:
    """Of those that wish for the same candidate, the one to which the trial with the number ``own`` gives way."""
    settled = next((t for t in others if _settled(t)), None)
    return settled or next((t for t in others if t.number < own), None)


def is_evaluation(trial: FrozenTrial) -> bool:
    """Whether a trial stands for a candidate of its own: neither a repetition, nor lost, nor refused unevaluated."""
    return _wishes(trial, trial.user_attrs.get(KEY))


def taken(study: optuna.Study) -> set[str]:
    """Keys of all candidates that some trial has or had."""
    trials = study.get_trials(deepcopy=False)
    return {t.user_attrs[KEY] for t in trials if KEY in t.user_attrs and _wishes(t, t.user_attrs[KEY])}


def _wishes(trial: FrozenTrial, key: str | None) -> bool:
    attributes = trial.user_attrs
    if key is None or attributes.get(KEY) != key or DUPLICATE in attributes or trial.state == TrialState.WAITING:
        return False
    # A failure without a reason is that of a process which died; its candidate is free again.
    return trial.state != TrialState.FAIL or REASON in attributes


def _settled(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() or bool(trial.user_attrs.get(CLAIM, {}).get("settled"))
