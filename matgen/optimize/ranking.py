"""Ranking: many objectives become one order, with the reasons beside it.

Shapes: n candidates, m objectives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError, did_you_mean
from matgen.optimize.objective import Objective
from matgen.optimize.pareto import pareto_fronts
from matgen.optimize.reasons import reasons
from matgen.surrogates.prediction import DISTANCE, IN_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_OBJECTIVES = (
    Objective(property="e_above_hull", goal="target", low=-0.1, high=0.0, tolerance=0.1, weight=2.0),
    Objective(property="band_gap", goal="target", low=0.8, high=2.0, tolerance=1.0),
)
"""Stable semiconductors: near the hull, with a gap for visible and near-infrared light.

An energy far below a hull of known compounds is more often an error of the potential, or a competing phase that the
hull lacks, than a discovery; hence the window.
"""

FLOOR = 0.01
DOUBT = "implausibly_low"
"""Column that says why an energy above hull is hard to believe; empty where nothing speaks against it."""

ADDED = ("desirability", "pareto_front", "rank", "reasons")


def rank(
    candidates: Candidates,
    objectives: Sequence[Objective | Mapping[str, Any]] = DEFAULT_OBJECTIVES,
    *,
    floor: float = FLOOR,
) -> Candidates:
    """Order candidates by how well they meet all objectives together.

    Adds ``desirability`` (the weighted geometric mean of the objectives' desirabilities), ``pareto_front`` (1: no
    candidate is better in every objective), ``rank`` (1 is best; ties by front, then by the objectives in order,
    then by id) and ``reasons`` (a sentence), and sorts by rank.

    Args:
        candidates: With a column for each objective.
        objectives: What is sought; the first counts first in ties.
        floor: Lowest desirability of one objective, so that candidates which fail it are still told apart by the
            others; 0 for the plain geometric mean.

    Raises:
        ConfigError: An objective names no column of numbers, or is not well formed.
    """
    wanted = [as_objective(objective) for objective in objectives]
    if not wanted:
        raise ConfigError("there is nothing to rank by.", where="objectives", fix="Name at least one objective.")
    values = [objective.pessimistic(*_uncertain(candidates.table, objective)) for objective in wanted]
    single = [
        objective.desirability(value) * _trust(candidates.table, objective)
        for objective, value in zip(wanted, values, strict=True)
    ]
    losses = np.array([objective.loss(value) for objective, value in zip(wanted, values, strict=True)]).T
    columns = {"desirability": overall(single, [objective.weight for objective in wanted], floor)}
    columns["pareto_front"] = pareto_fronts(losses)
    order = _order(columns, losses, candidates.table["id"])
    columns["rank"] = np.empty(len(order), dtype=int)
    columns["rank"][order] = np.arange(1, len(order) + 1)
    ranked = candidates.with_columns(columns)
    return ranked.with_columns({"reasons": reasons(ranked)}).order_by("rank")


def as_objective(spelling: Objective | Mapping[str, Any]) -> Objective:
    """An objective from its spelling in a workflow file."""
    if isinstance(spelling, Objective):
        return spelling
    try:
        return Objective.model_validate(dict(spelling))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["objective", *map(str, first["loc"])])
        raise ConfigError(f"{first['msg'].lower()}, found {first['input']!r}.", where=place) from error


def parse_objective(text: str) -> Objective:
    """An objective from a command-line option: ``PROPERTY:GOAL:LOW:HIGH``, then ``key=value`` parts if wanted.

    For example ``e_above_hull:minimise:0:0.1`` or ``band_gap:target:1:2:tolerance=0.5:weight=2``.
    """
    parts = text.split(":")
    if len(parts) < 4:
        fix = "Write it as PROPERTY:minimise|maximise|target:LOW:HIGH, for example e_above_hull:minimise:0:0.1."
        raise ConfigError(f"{text!r} is no objective.", where="--objective", fix=fix)
    pairs = [("low", parts[2]), ("high", parts[3]), *(part.split("=", 1) for part in parts[4:] if "=" in part)]
    try:
        numbers = {key: float(value) for key, value in pairs}
    except ValueError as error:
        raise ConfigError(f"{error}.", where=f"--objective {text}") from error
    return as_objective({"property": parts[0], "goal": parts[1], **numbers})


def unranked(candidates: Candidates) -> Candidates:
    """Candidates without an earlier ranking, to be ranked anew."""
    table = candidates.table.drop(columns=[name for name in ADDED if name in candidates.table])
    return Candidates(table, candidates.structures, candidates.rejected, candidates.rejected_structures)


def overall(desirabilities: Sequence[np.ndarray], weights: Sequence[float], floor: float = 0.0) -> np.ndarray:
    """(n,) weighted geometric mean: prod_i max(d_i, floor)^(w_i / sum w).

    Args:
        desirabilities: m arrays (n,), each from 0 to 1.
        weights: m positive numbers.
        floor: Lowest value of one factor.
    """
    shares = np.asarray(weights) / np.sum(weights)
    factors = [np.maximum(d, floor) ** share for d, share in zip(desirabilities, shares, strict=True)]
    return np.asarray(np.prod(factors, axis=0))


def _uncertain(table: pd.DataFrame, objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    name = objective.property
    if name not in table or not (pd.api.types.is_numeric_dtype(table[name]) or table[name].isna().all()):
        known = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
        raise ConfigError(
            f"the candidates have no column of numbers {name!r}.", where="objectives", fix=did_you_mean(name, known)
        )
    mean = table[name].to_numpy(dtype=float, na_value=np.nan)
    if f"{name}_std" not in table:
        return mean, np.zeros(len(mean))
    return mean, np.nan_to_num(table[f"{name}_std"].to_numpy(dtype=float, na_value=np.nan))


def _trust(table: pd.DataFrame, objective: Objective) -> np.ndarray:
    """(n,) 1, or less where a model or a hull had too little to go by, or an energy is hard to believe."""
    name = objective.property
    doubtful = np.zeros(len(table), dtype=bool)
    if name.startswith("e_above_hull"):
        if (column := name.replace("e_above_hull", "thin_system")) in table:
            doubtful |= table[column].to_numpy(dtype=bool)
        if name == "e_above_hull" and DOUBT in table:
            doubtful |= table[DOUBT].fillna("").ne("").to_numpy(dtype=bool)
    return np.where(doubtful, objective.unfamiliar, 1.0) * _familiarity(table, objective)


def _familiarity(table: pd.DataFrame, objective: Objective) -> np.ndarray:
    """(n,) 1 in the domain of the model that predicted the value; outside, u^d with u = ``unfamiliar``.

    d is the distance from the training data, of which 1 is the edge of the domain; it counts as 1 where it was not
    measured, and where the structure is near but holds an element that the model does not know.
    """
    name = objective.property
    inside = next((c for c in (f"{name}_{IN_DOMAIN}", IN_DOMAIN) if c in table), None)
    if inside is None or f"{name}_std" not in table:
        return np.ones(len(table))
    far = np.ones(len(table))
    if (distance := inside.replace(IN_DOMAIN, DISTANCE)) in table:
        far = np.fmax(table[distance].to_numpy(dtype=float, na_value=np.nan), 1.0)
    return np.where(table[inside].to_numpy(dtype=bool), 1.0, objective.unfamiliar**far)


def _order(columns: Mapping[str, np.ndarray], losses: np.ndarray, ids: pd.Series) -> np.ndarray:
    """Row numbers, best first. Desirabilities that differ in the twelfth digit only count as equal."""
    keys = [ids.to_numpy(dtype=str), *losses.T[::-1], columns["pareto_front"], -columns["desirability"].round(12)]
    return np.lexsort(keys)
