"""The search: Optuna proposes, a space realises, an evaluator judges, and the sampler learns from the result."""

from __future__ import annotations

import logging
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState

from matgen.data.candidates import Candidates
from matgen.execution import Serial
from matgen.optimize.aims import Aim, Limit, as_aims, as_limits
from matgen.optimize.claims import DUPLICATE, REASON, claim, claims, is_evaluation, taken
from matgen.optimize.evaluators.base import EVALUATORS, NOT_PROMOTED, Evaluator
from matgen.optimize.evaluators.function import Function
from matgen.optimize.memory import Remembering
from matgen.optimize.parts import Spec, build
from matgen.optimize.results import FACTS, STRUCTURE, best_so_far, candidates_of, evaluations, packed, structure_key
from matgen.optimize.samplers import build_sampler
from matgen.optimize.spaces.base import SPACES, Proposal, Space
from matgen.optimize.spaces.realisation import REALISE
from matgen.optimize.storage import alive, open_storage, opened, patience, recover, retries
from matgen.optimize.surrogate_sampler import ITEM
from matgen.optimize.transactions import one_reading
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from matgen.execution import Executor, Row

log = logging.getLogger(__name__)

ASKS = 30
"""Suggestions for each wanted candidate, repeated and refused ones included, before a space counts as exhausted."""

FIRST = 16
"""Points that a new study starts from, where the space names any: as many as samplers draw before they learn."""

FRUITLESS = 50
"""Rounds without a candidate that counts, after which a search gives up."""

POLL_SECONDS = 0.2
"""How often the trials of other processes are looked at when only they are still at work."""


def optimize(
    space: Spec | Space,
    evaluate: Spec | Evaluator | Callable[[Sequence[Row]], list[Row]] = "lookup",
    objectives: Sequence[Aim | Mapping[str, Any]] = (),
    *,
    limits: Sequence[Limit | Mapping[str, Any]] = (),
    sampler: Spec = "tpe",
    evaluations: int = 100,
    batch: int = 8,
    retrain: int = 4,
    seed: int = 0,
    storage: str | Path | BaseStorage | None = None,
    name: str = "search",
    worker: int = 0,
    heartbeat: int = 30,
    count: str | None = None,
    memory: str | Path | None = None,
    executor: Executor | None = None,
) -> optuna.Study:
    """Search a space for the best candidates; the same call on the same storage goes on where it stopped.

    Args:
        space: What is varied: a name, a name with settings, or a finished space.
        evaluate: Where values come from: likewise, or an importable function of rows as an executor calls it, which
            returns a row of values (or of one ``error``) for each structure.
        objectives: Properties to minimise, maximise or bring into a window.
        limits: Bounds on properties; they become Optuna's constraints.
        sampler: Name, or name with settings: ``tpe``, ``gp``, ``cma-es``, ``nsga-ii``, ``nsga-iii``, ``qmc``, ``grid``,
            ``random``, ``botorch``, ``surrogate``.
        evaluations: Candidates to evaluate, those of earlier calls and other processes included.
        batch: Candidates asked for and evaluated at once.
        retrain: Rounds after which the evaluator learns from what was found.
        seed: Of everything random.
        storage: See :func:`matgen.optimize.storage.open_storage`; memory by default.
        name: Of the study.
        worker: A different number for each process that works on the study, so that their draws differ.
        heartbeat: Seconds between signs of life in a database.
        count: Column that a candidate must have got to count as evaluated: with ``relax_status``, those that a ladder
            refuses before the relaxation are free. All count by default.
        memory: File that keeps the results of long work, for this search and others; see
            :class:`matgen.optimize.memory.Remembering`.
        executor: Where evaluations run; this process by default.

    Returns:
        An ordinary study. Each trial carries its candidate in user attributes; one that failed or was not worth going
        on with carries a ``reason``.

    Raises:
        ConfigError: Something asked for cannot be honoured, or the study belongs to another search.
    """
    made = build(SPACES, space, "space")
    judge = Function(evaluate) if callable(evaluate) else build(EVALUATORS, evaluate, "evaluate")
    aims, bounds = as_aims(objectives), as_limits(limits)
    made.check()
    judge.check(aims, bounds)
    store = open_storage(storage, heartbeat)
    parts = [part.model_dump() for part in (*aims, *bounds)]
    identity = content_id(_spelled(space), made.identity(), _spelled(evaluate), parts)
    study = opened(store, name, aims, identity)
    begun = len(study.get_trials(deepcopy=False))
    stream = int(np.random.SeedSequence([seed, worker, begun]).generate_state(1)[0] >> 1)
    study.sampler = build_sampler(sampler, stream, made, aims, bounds)
    where = executor or Serial()
    if memory is not None:
        where = Remembering(where, Path(memory))
    search = Search(study, made, judge, aims, bounds, batch, retrain, where, stream, count)
    if not begun:
        search.lead(min(FIRST, evaluations))
    return search.run(evaluations)


@dataclass
class Search:
    """A running search.

    Args:
        study: Optuna's.
        space: What is varied.
        evaluator: Gives values.
        aims: Objectives.
        limits: Bounds.
        batch: Candidates of a round.
        retrain: Rounds after which the evaluator learns.
        executor: Where evaluations run.
        seed: Of the evaluator's learning.
        count: Column that a candidate must have to count as evaluated.
    """

    study: optuna.Study
    space: Space
    evaluator: Evaluator
    aims: tuple[Aim, ...]
    limits: tuple[Limit, ...]
    batch: int
    retrain: int
    executor: Executor
    seed: int
    count: str | None = None
    own_seconds: float = field(default=0.0, init=False)
    """Time of the loop itself: everything but making and evaluating candidates."""

    def __post_init__(self) -> None:
        """Draw the points of the search itself apart from those of the sampler."""
        self._rng = np.random.default_rng([self.seed, FIRST])

    def lead(self, n: int) -> None:
        """Queue up to n points that keep the constraints of the space, where it names any, for whatever sampler."""
        for point in self.space.start(n, self._rng):
            self.study.enqueue_trial(point)

    def run(self, wanted: int) -> optuna.Study:
        """Go on until so many candidates were evaluated or the space gives no new ones."""
        rounds = fruitless = before = 0
        waited = 0.0
        start = time.monotonic()
        while True:
            begin = time.monotonic()
            recover(self.study)
            done = evaluations(self.study, self.count)
            left, fruitless, before = wanted - done, fruitless + 1 if done == before else 0, done
            if fruitless > FRUITLESS:
                log.warning("no candidate of %d rounds got as far as %s", fruitless, self.count)
                return self.study
            if left <= 0:
                if (again := retries(self.study)) and not self._exhausted():
                    # Another process had gone on without what was lost.
                    self._round(again, asks=1)
                    continue
                # A process that dies now leaves its candidates to those that are still here.
                if waited >= patience(self.study):
                    return self.study
                time.sleep(POLL_SECONDS)
                waited += POLL_SECONDS
                fruitless = 0
                continue
            waited = 0.0
            if rounds % self.retrain == 0 and self.evaluator.learns:
                self.evaluator.learn(candidates_of(self.study), np.random.default_rng([self.seed, rounds]))
            self.own_seconds += time.monotonic() - begin
            if not self._round(min(self.batch, left)):
                log.warning("the space gives no new candidates after %d evaluations", evaluations(self.study))
                return self.study
            rounds += 1
            self._tell_people(rounds, wanted, time.monotonic() - start)

    def _round(self, n: int, asks: int = ASKS) -> int:
        """Ask for up to n new candidates, evaluate them together, and tell the study; returns how many there were.

        Args:
            n: Candidates.
            asks: Suggestions for each of them.
        """
        begin = time.monotonic()
        fresh: dict[str, optuna.Trial] = {}
        parts: list[Candidates] = []
        asked = claimed = 0
        while claimed < n and asked < asks * n and not self._exhausted():
            wave = min(n - claimed, asks * n - asked)
            asked += wave
            with one_reading(self.study):  # what others claim meanwhile is found out when a candidate is claimed
                seen = taken(self.study)
                asked_for = [found for found in (self._ask(seen) for _ in range(wave)) if found is not None]
            proposed = self._claimed(asked_for)
            if not proposed and asked < asks * n:
                self.lead(wave)
            elif proposed:
                trials = {str(trial.number): trial for trial, _ in proposed}
                self.own_seconds += time.monotonic() - begin
                with alive(self.study, list(trials.values())):
                    made = self.space.realise([p.item for _, p in proposed], list(trials), self.executor)
                begin = time.monotonic()
                fresh |= trials
                self._refuse(made, fresh)
                named = {str(trial.number) for trial, proposal in proposed if proposal.key is not None}
                parts.append(self._distinct(made, named, fresh))
                claimed += len(named | (trials.keys() & fresh.keys()))
        self.own_seconds += time.monotonic() - begin
        if fresh:
            self._judge(fresh, parts)
        return claimed

    def _ask(self, seen: set[str]) -> tuple[optuna.Trial, Proposal] | None:
        """A trial with a proposal, whose key joins those seen; None where it was told at once."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # the loop here gives signs of life itself
            trial = self.study.ask()
        proposal = self.space.propose(trial, seen)
        for label, value in proposal.constraints.items():
            trial.set_constraint(label, float(value))
        broken = [label for label, value in proposal.constraints.items() if value > 0]
        if broken:
            trial.set_user_attr(REASON, f"not evaluated: {', '.join(broken)}")
            self.study.tell(trial, state=TrialState.PRUNED)
            return None
        if proposal.key is not None:
            seen.add(proposal.key)
        return trial, proposal

    def _claimed(self, asked: Sequence[tuple[optuna.Trial, Proposal]]) -> list[tuple[optuna.Trial, Proposal]]:
        """Those whose candidate no other trial has, or whose structure will tell; the others are told at once."""
        wishes = [(trial, proposal.key) for trial, proposal in asked if proposal.key is not None]
        found = zip(wishes, claims(self.study, wishes), strict=True)
        others = {trial.number: first for (trial, _), first in found if first is not None}
        kept = []
        for trial, proposal in asked:
            if trial.number in others:
                self._repeat(trial, others[trial.number])
            else:
                trial.set_user_attr(ITEM, proposal.item)
                kept.append((trial, proposal))
        return kept

    def _distinct(self, made: Candidates, named: set[str], trials: dict[str, optuna.Trial]) -> Candidates:
        """What was made without structures that another trial has; those whose key is known were claimed before."""
        twice: list[str | None] = [None] * len(made)
        for i, (name, structure) in enumerate(zip(made.table["id"], made.structures, strict=True)):
            if name in named or name not in trials:
                continue
            first = claim(self.study, trials[name], structure_key(self.study, structure, trials[name].number))
            if first is not None:
                trials[name].set_user_attr(STRUCTURE, packed(structure))
                self._repeat(trials.pop(name), first)
                twice[i] = "repeated"
            else:
                trials[name].set_user_attr(STRUCTURE, packed(structure))
        return made.reject("repeated", twice)

    def _repeat(self, trial: optuna.Trial, first: FrozenTrial) -> None:
        """Tell a repetition what the first evaluation of its candidate gave."""
        done = self.study.get_trials(deepcopy=False)[first.number]
        if done.state == TrialState.COMPLETE:
            for label in done.constraints.keys() - trial.constraints.keys():
                trial.set_constraint(label, done.constraints[label])
            self.study.tell(trial, list(done.values))
            return
        said = done.user_attrs.get(REASON, "it is being evaluated")
        trial.set_user_attr(REASON, f"the same candidate as trial {first.number}: {said}")
        failed = done.state == TrialState.FAIL
        self.study.tell(trial, state=TrialState.FAIL if failed else TrialState.PRUNED)

    def _judge(self, trials: Mapping[str, optuna.Trial], parts: Sequence[Candidates]) -> None:
        """Evaluate what was made and tell the study."""
        together = Candidates(_joined([part.table for part in parts]), [s for part in parts for s in part.structures])
        with alive(self.study, list(trials.values())):
            judged = self.evaluator.evaluate(together, self.aims, self.limits, self.executor)
        begin = time.monotonic()
        rows = [{str(k): v for k, v in row.items()} for row in judged.table.to_dict("records")]
        with one_reading(self.study):
            told = []  # all are recorded before any is told, so that what is written travels together
            for row, structure in zip(rows, judged.structures, strict=True):
                trial = trials[str(row["id"])]
                trial.set_user_attr(STRUCTURE, packed(structure))
                trial.set_user_attr(FACTS, _plain(row))
                told.append((trial, self._record(trial, row)))
            for trial, values in told:
                if values is not None:
                    with suppress(optuna.exceptions.UpdateFinishedTrialError):
                        self.study.tell(trial, values, skip_if_finished=True)
            self._refuse(judged, dict(trials))
        self.own_seconds += time.monotonic() - begin

    def _record(self, trial: optuna.Trial, row: Row) -> list[float] | None:
        """Write down what the evaluation found; returns the values to tell, or None for a trial that fails without."""
        values: list[Any] = [row.get(aim.property) for aim in self.aims]
        bounded: dict[Limit, Any] = {limit: row.get(limit.property) for limit in self.limits}
        missing = [p.property for p, v in zip(self.aims, values, strict=True) if not _is_number(v)]
        missing += [limit.property for limit, v in bounded.items() if not _is_number(v)]
        if missing:
            self._fail(trial, "evaluate", f"the evaluation gave no {', '.join(missing)}")
            return None
        for part in dict.fromkeys((*(a.property for a in self.aims), *(b.property for b in self.limits))):
            trial.set_user_attr(part, float(row[part]))
        for limit, value in bounded.items():
            trial.set_constraint(f"{limit.property} limit", limit.violation(float(value)))
        return [aim.value(float(value)) for aim, value in zip(self.aims, values, strict=True)]

    def _refuse(self, candidates: Candidates, trials: dict[str, optuna.Trial]) -> None:
        """Tell the study of rejected candidates, and forget their trials."""
        rows = candidates.rejected.to_dict("records")
        for row, structure in zip(rows, candidates.rejected_structures, strict=True):
            trial = trials.pop(str(row["id"]), None)
            if trial is None:
                continue
            if row["stage"] != REALISE:
                trial.set_user_attr(STRUCTURE, packed(structure))
            facts = _plain({str(k): v for k, v in row.items() if k not in ("stage", "reason")})
            trial.set_user_attr(FACTS, facts)
            self._fail(trial, str(row["stage"]), str(row["reason"]))

    def _fail(self, trial: optuna.Trial, stage: str, reason: str) -> None:
        trial.set_user_attr("stage", stage)
        trial.set_user_attr(REASON, reason)
        state = TrialState.PRUNED if stage == NOT_PROMOTED else TrialState.FAIL
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.study.tell(trial, state=state, skip_if_finished=True)

    def _exhausted(self) -> bool:
        sampler = self.study.sampler
        return isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.study)

    def _tell_people(self, rounds: int, wanted: int, seconds: float) -> None:
        with one_reading(self.study):
            trials = self.study.get_trials(deepcopy=False)
            best, done = best_so_far(self.study), evaluations(self.study, self.count)
        failed = sum(t.state == TrialState.FAIL and is_evaluation(t) for t in trials)
        repeated = sum(DUPLICATE in t.user_attrs for t in trials)
        line = (
            ", ".join(f"{aim.label} {value:.4g}" for aim, value in zip(self.aims, best[-1], strict=True))
            if len(best)
            else "none"
        )
        log.info(
            "round %d: %d of %d evaluated, %d failed, %d repeated; best so far: %s; %.0f s",
            rounds, done, wanted, failed, repeated, line, seconds,
        )  # fmt: skip


def _spelled(part: Any) -> Any:
    """What identifies a part: its spelling, its settings, or the name of a function."""
    function = getattr(part, "func", part)  # of a partial
    return part if isinstance(part, str | dict) else getattr(function, "__qualname__", None) or repr(part)


def _joined(tables: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.concat(tables, ignore_index=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def _plain(row: Mapping[str, Any]) -> Row:
    """The plain values of a row, as JSON has them."""
    found: Row = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, bool | str | int) or (isinstance(value, float) and np.isfinite(value)):
            found[name] = value
    return found
