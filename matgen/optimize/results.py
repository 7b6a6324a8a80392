"""What a study holds, as tables: trials, candidates, the Pareto front, the history of the best and of the hypervolume.

Shapes: n trials, m objectives.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import TrialState

from matgen.data.candidates import Candidates
from matgen.data.structures import SMILES, pack, unpack, unpack_rows
from matgen.optimize.claims import DUPLICATE, REASON, is_evaluation
from matgen.optimize.pareto import pareto_fronts
from matgen.optimize.surrogate_sampler import ITEM, KEY
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import optuna
    from optuna.trial import FrozenTrial
    from pymatgen.core import Structure

STRUCTURE, FACTS = "structure", "facts"
"""User attributes: the packed structure that was judged; every other column of its row."""

HIDDEN = {KEY, ITEM, STRUCTURE, FACTS, "claim"}


def packed(structure: Structure) -> dict[str, Any]:
    """A structure as plain values."""
    return {name: values[0] for name, values in pack([structure]).items()}


def structure_key(study: optuna.Study, structure: Structure, own: int) -> str:
    """The key of a trial whose structure matches this one, or a new key.

    Molecules with known bonds are compared by their canonical SMILES, others by pymatgen's matcher with the structures
    of other trials that have the same reduced formula.

    Args:
        study: With earlier trials.
        structure: Of a new candidate.
        own: Number of its trial.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    formula, matcher = structure.composition.reduced_formula, StructureMatcher()
    if SMILES in structure.properties:
        return f"{formula} {structure.properties[SMILES]}"
    for trial in study.get_trials(deepcopy=False):
        key = str(trial.user_attrs.get(KEY, ""))
        if trial.number == own or not key.startswith(f"{formula} ") or STRUCTURE not in trial.user_attrs:
            continue
        if matcher.fit(structure, unpack({k: [v] for k, v in trial.user_attrs[STRUCTURE].items()})[0]):
            return key
    return f"{formula} {content_id(packed(structure))}"


def losses(study: optuna.Study, trials: list[FrozenTrial]) -> np.ndarray:
    """(n, m) values of finished trials, signed so that small is good."""
    signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
    return np.array([t.values for t in trials], dtype=float).reshape(-1, len(signs)) * signs


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether all of Optuna's constraints are met."""
    return all(value <= 0 for value in trial.constraints.values())


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with values, each candidate once, in the order of their numbers."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [t for t in done if DUPLICATE not in t.user_attrs]


def evaluations(study: optuna.Study, column: str | None = None) -> int:
    """How many candidates were or are being evaluated.

    Args:
        study: Any study of matgen.
        column: Count only candidates of which this became known, such as ``relax_status``, and those under way.
    """
    counted = [t for t in study.get_trials(deepcopy=False) if is_evaluation(t)]
    if column is None:
        return len(counted)
    return sum(not t.state.is_finished() or column in t.user_attrs.get(FACTS, {}) for t in counted)


def candidates_of(study: optuna.Study) -> Candidates:
    """The evaluated candidates, best first, and those that failed or were not promoted, with stage and reason.

    Columns: ``id`` (the number of the trial), ``formula``, the value of each objective by its name in the study, what
    the evaluation found besides, ``feasible``, ``pareto_front`` and ``rank``.
    """
    done = [t for t in finished(study) if STRUCTURE in t.user_attrs]
    names = study.metric_names or [f"objective_{i}" for i in range(len(study.directions))]
    rows = [
        {"id": str(t.number), **t.user_attrs.get(FACTS, {}), **dict(zip(names, t.values, strict=True))} for t in done
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame({"id": []})
    feasible = np.array([is_feasible(t) for t in done], dtype=bool)
    found = np.where(feasible[:, None], losses(study, done), np.inf)
    fronts = pareto_fronts(found)
    order = np.lexsort((*found.T[::-1], fronts, ~feasible))
    table = table.assign(feasible=feasible, pareto_front=fronts).iloc[order].reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1)
    structures = unpack_rows([done[i].user_attrs[STRUCTURE] for i in order])
    return Candidates(table, structures, *_rejected(study))


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: number, state, values, parameters, constraints and the plain attributes, such as the reason."""
    names = study.metric_names or [f"objective_{i}" for i in range(len(study.directions))]
    return pd.DataFrame([_row(t, names) for t in study.get_trials(deepcopy=False)])


def best_so_far(study: optuna.Study) -> np.ndarray:
    """(n, m) best feasible value of each objective after each evaluated trial; NaN before the first."""
    done = finished(study)
    signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
    table = losses(study, done)
    table[[not is_feasible(t) for t in done]] = np.inf
    best = np.minimum.accumulate(table, axis=0) if len(table) else table
    return np.where(np.isfinite(best), best, np.nan) * signs


def hypervolumes(study: optuna.Study, reference: np.ndarray | None = None) -> np.ndarray:
    """(n,) hypervolume that the feasible evaluated trials dominate, after each of them, by Optuna.

    Args:
        study: With several objectives.
        reference: (m,) reference point in the study's units; by default the worst value of each objective found.
    """
    import optuna
    from optuna.visualization import plot_hypervolume_history

    done = [t for t in finished(study) if is_feasible(t)]
    if not done:
        return np.zeros(0)
    signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
    if reference is None:
        reference = losses(study, done).max(axis=0) * signs
    copy = optuna.create_study(directions=study.directions)
    copy.add_trials([optuna.create_trial(values=list(t.values)) for t in done])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = plot_hypervolume_history(copy, reference_point=[float(r) for r in reference])
    return np.asarray(figure.data[0].y, dtype=float)


def front(study: optuna.Study) -> list[FrozenTrial]:
    """Feasible evaluated trials that no other beats in every objective."""
    done = [t for t in finished(study) if is_feasible(t)]
    return [t for t, place in zip(done, pareto_fronts(losses(study, done)), strict=True) if place == 1]


def _rejected(study: optuna.Study) -> tuple[pd.DataFrame, list[Structure]]:
    left = [t for t in study.get_trials(deepcopy=False) if REASON in t.user_attrs and STRUCTURE in t.user_attrs]
    rows = [
        {
            "id": str(t.number),
            **t.user_attrs.get(FACTS, {}),
            "stage": t.user_attrs.get("stage", ""),
            "reason": t.user_attrs[REASON],
        }
        for t in left
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame({"id": [], "stage": [], "reason": []})
    return table, unpack_rows([t.user_attrs[STRUCTURE] for t in left])


def _row(trial: FrozenTrial, names: list[str]) -> Mapping[str, Any]:
    row: dict[str, Any] = {"number": trial.number, "state": trial.state.name}
    row |= dict(zip(names, trial.values or [None] * len(names), strict=False))
    row |= {f"param {name}": value for name, value in trial.params.items()}
    row |= {f"constraint {name}": value for name, value in trial.constraints.items()}
    row |= {name: value for name, value in trial.user_attrs.items() if name not in HIDDEN}
    duration = trial.duration
    return row | {"seconds": duration.total_seconds() if duration else None}
