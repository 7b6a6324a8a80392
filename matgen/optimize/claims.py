"""No candidate is evaluated twice, however many processes work on one study."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from matgen.optimize.storage import CLAIM, owner
from matgen.optimize.surrogate_sampler import KEY

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DUPLICATE, REASON = "duplicate_of", "reason"
"""User attributes: number of the trial with the same candidate; why a trial has no value."""

_POLL, _LONGEST = 0.02, 30.0


def claim(study: optuna.Study, trial: optuna.Trial, key: str) -> FrozenTrial | None:
    """Claim the candidate called ``key`` for a trial; returns the trial that has it already, if one has.

    Each process first shows its wish and then looks for others. One that is settled wins over one that is not; of two
    that are not, the later trial gives way at once, and the earlier one waits until it knows what the other does.
    So exactly one goes on, whatever the order in which they read and write, and no lock is needed that only some
    storages have.

    Args:
        study: Shared with other processes.
        trial: Running.
        key: Name of its candidate.
    """
    trial.set_user_attr(CLAIM, {"owner": owner(), "settled": False})
    trial.set_user_attr(KEY, key)
    until = time.monotonic() + _LONGEST
    while True:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number and _wishes(t, key)]
        waiting = [t for t in others if not _settled(t)]
        first = next((t for t in others if _settled(t)), None)
        if first is None:
            first = next((t for t in waiting if t.number < trial.number), None)
        if first is not None:
            trial.set_user_attr(DUPLICATE, first.number)
            return first
        if not waiting or time.monotonic() > until:
            trial.set_user_attr(CLAIM, {"owner": owner(), "settled": True})
            return None
        time.sleep(_POLL)


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
