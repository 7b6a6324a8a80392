"""Tuning of models: settings of a training, judged by what the trained model scores on data it did not see."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState

from matgen.errors import ConfigError
from matgen.optimize.aims import Aim
from matgen.optimize.claims import DUPLICATE, REASON, claim, taken
from matgen.optimize.parts import Spec, build
from matgen.optimize.results import evaluations, finished
from matgen.optimize.samplers import build_pruner, build_sampler
from matgen.optimize.search import ASKS
from matgen.optimize.spaces.base import SPACES
from matgen.optimize.storage import alive, open_storage, opened, recover
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optuna.storages import BaseStorage

    from matgen.optimize.spaces.settings import Settings

    Trainer = Callable[[Mapping[str, Any], Callable[[int, float], None]], float]

log = logging.getLogger(__name__)


def tune(
    train: Trainer,
    parameters: Mapping[str, Any],
    *,
    score: str = "validation loss",
    trials: int = 20,
    sampler: Spec = "tpe",
    pruner: Spec = "median",
    seed: int = 0,
    storage: str | Path | BaseStorage | None = None,
    name: str = "tune",
    worker: int = 0,
    heartbeat: int = 30,
) -> optuna.Study:
    """Tune settings of a training; the same call on the same storage goes on where it stopped.

    Settings that were tried already are not trained again. A training that fails is a failed trial with its reason.
    Several processes may tune one study in a shared storage.

    Args:
        train: Called with settings by dotted name and a function to report an intermediate score by step; returns the
            final score, of which small values are good. The report may end the training early.
        parameters: Values that each setting may take, see :class:`matgen.optimize.spaces.settings.Range`.
        score: What the score is called.
        trials: Trainings in all, those of earlier calls included.
        sampler: See :func:`matgen.optimize.samplers.build_sampler`.
        pruner: ``none``, ``median``, ``hyperband``, ``successive-halving``, ``percentile`` or ``wilcoxon``.
        seed: Of the sampler.
        storage: See :func:`matgen.optimize.storage.open_storage`; memory by default.
        name: Of the study.
        worker: A different number for each process that works on the study.
        heartbeat: Seconds between signs of life in a database.

    Raises:
        ConfigError: A setting, sampler or pruner cannot be honoured.
    """
    space: Settings = build(SPACES, {"settings": {"parameters": dict(parameters)}}, "parameters")  # type: ignore[assignment]
    space.check()
    aim = Aim(property=score)
    spelled = {key: part.model_dump() for key, part in space.parameters.items()}
    study = opened(open_storage(storage, heartbeat), name, [aim], content_id(spelled, score))
    stream = int(np.random.SeedSequence([seed, worker, len(study.trials)]).generate_state(1)[0] >> 1)
    study.sampler, study.pruner = build_sampler(sampler, stream, space, [aim]), build_pruner(pruner)
    repeated = 0
    while True:
        recover(study)
        if evaluations(study) >= trials or repeated > ASKS or _exhausted(study):
            return study
        repeated = 0 if _train_one(study, space, train) else repeated + 1


def _train_one(study: optuna.Study, space: Settings, train: Trainer) -> bool:
    """Train with the next settings; False where they were tried before."""
    trial = study.ask()
    proposal = space.propose(trial, taken(study))
    first = claim(study, trial, str(proposal.key))
    if first is not None:
        done = study.get_trials(deepcopy=False)[first.number]
        complete = done.state == TrialState.COMPLETE
        if not complete:
            trial.set_user_attr(REASON, f"the same settings as trial {first.number}")
        study.tell(trial, done.values if complete else None, state=None if complete else TrialState.PRUNED)
        return False

    def report(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned(f"stopped at step {step}, where others were better")

    try:
        with alive(study, [trial]):
            value = float(train(proposal.item, report))
        if not np.isfinite(value):
            raise FloatingPointError(f"the score is {value}")
        study.tell(trial, value)
        log.info("trial %d: %.4g with %s", trial.number, value, _spelled(proposal.item))
    except optuna.TrialPruned as stopped:
        _left(study, trial, TrialState.PRUNED, str(stopped))
    except ConfigError:
        _left(study, trial, TrialState.FAIL, "the settings cannot be honoured")
        raise
    except Exception as error:  # whatever a training dies of is the reason of its trial
        _left(study, trial, TrialState.FAIL, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return True


def _left(study: optuna.Study, trial: optuna.Trial, state: TrialState, reason: str) -> None:
    trial.set_user_attr(REASON, reason)
    study.tell(trial, state=state)
    log.info("trial %d: %s", trial.number, reason)


def best_settings(study: optuna.Study) -> tuple[dict[str, Any], float] | None:
    """Settings and score of the best training; None where none finished."""
    done = [t for t in finished(study) if DUPLICATE not in t.user_attrs]
    best = min(done, key=lambda t: t.values[0], default=None)
    return None if best is None else (dict(best.params), float(best.values[0]))


def _exhausted(study: optuna.Study) -> bool:
    sampler = study.sampler
    return isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(study)


def _spelled(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in settings.items()
    )
