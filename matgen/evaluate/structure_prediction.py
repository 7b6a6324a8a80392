"""Structure prediction: how many true structures are found again, and how closely."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher

from matgen.data.structures import pack, unpack
from matgen.errors import ConfigError
from matgen.evaluate.interval import estimate, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.evaluate.reference import Reference
    from matgen.execution import Executor, Row

STOL, LTOL, ANGLE_TOL = 0.5, 0.3, 10
"""Tolerances of the matcher in structure prediction, as in all published tables."""

SECONDS = 60.0
"""Time limit for one pair, s."""

PROTOCOL = {
    "match": f"StructureMatcher(stol={STOL}, ltol={LTOL}, angle_tol={ANGLE_TOL}), paired by material_id; the first "
    "answer to each counts, a reference structure without answer is no match",
    "match_rate": "over all reference structures",
    "match_rate_valid": "over all reference structures; an invalid answer (structure or composition) is no match",
    "match_rate_among_valid": "over the pairs whose answer is valid",
    "match_rate_any": "over all reference structures, if any of the answers to it matches",
    "rmse": "mean over matches, in units of (V/A)^(1/3) as pymatgen gives it",
    "rmse_penalised": f"mean over all reference structures, no match counts as stol = {STOL} (cRMSE)",
    "metre": "share of reference structures that any answer of the same formula matches, whatever its material_id "
    "(match everyone to reference)",
}


def predict_metrics(
    made: Candidates, table: pd.DataFrame, reference: Reference, executor: Executor
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Match rates and root mean square errors.

    Args:
        made: Answers, with ``material_id`` (or ``id``) naming the true structure; several to one are ranked by order.
        table: One row an answer, with ``structure_valid`` and ``composition_valid``.
        reference: The true structures.
        executor: Compares pairs.

    Returns:
        The metrics, and the table with ``rms`` (missing where there is no match) and ``has_reference``.

    Raises:
        ConfigError: No answer names a reference structure.
    """
    places = {name: i for i, name in enumerate(reference.ids)}
    names = made.table["material_id" if "material_id" in made.table else "id"].astype(str)
    truth = [places.get(name) for name in names]
    if made.structures and all(t is None for t in truth):
        raise ConfigError(
            f"no answer is paired with a structure of {reference.name}.",
            where="material_id",
            fix=f"Ids of the answers look like {names.iat[0]!r}, those of the reference like {reference.ids[0]!r}.",
        )
    pairs = [(i, t) for i, t in enumerate(truth) if t is not None]
    rms: dict[tuple[int, int], float] = _distances(pairs, made.structures, reference.structures, executor)
    table = table.assign(
        rms=pd.array([None if t is None else rms.get((i, t)) for i, t in enumerate(truth)], dtype="Float64"),
        has_reference=[t is not None for t in truth],
    )
    answers: dict[int, list[int]] = defaultdict(list)
    for i, t in pairs:
        answers[t].append(i)
    found = _rates(table, answers, len(reference.ids), reference.structures)
    anyone = _anyone(made.structures, reference.structures, answers, rms, executor)
    return found | {"metre": share(anyone), "protocol": PROTOCOL, "skipped": {}}, table


def match(items: Sequence[Row]) -> list[Row]:
    """Worker: root mean square distance of each pair by pymatgen's matcher, None where it does not match."""
    matcher = StructureMatcher(stol=STOL, ltol=LTOL, angle_tol=ANGLE_TOL)
    found = [matcher.get_rms_dist(*unpack(item)) for item in items]
    return [{"rms": None if rms is None else float(rms[0])} for rms in found]


def _distances(
    pairs: Sequence[tuple[int, int]], made: Sequence[Structure], true: Sequence[Structure], executor: Executor
) -> dict[tuple[int, int], float]:
    """Distances of those pairs (answer, truth) that match."""
    items: list[Row] = [pack([made[i], true[t]]) for i, t in pairs]
    rows = executor.map(match, items, name="match", shard=20, seconds=SECONDS)
    return {pair: row["rms"] for pair, row in zip(pairs, rows, strict=True) if row.get("rms") is not None}


def _rates(table: pd.DataFrame, answers: dict[int, list[int]], n: int, true: Sequence[Structure]) -> dict[str, Any]:
    first = {t: found[0] for t, found in answers.items()}
    rms = table["rms"].to_numpy(dtype=float, na_value=np.nan)
    hit, valid = ~np.isnan(rms), (table["structure_valid"] & table["composition_valid"]).to_numpy()
    rows = list(first.values())
    errors = rms[rows][hit[rows]]
    penalised = np.concatenate([errors, np.full(n - len(errors), STOL)])
    by_size: dict[str, list[bool]] = defaultdict(list)
    for t, structure in enumerate(true):
        by_size[_size(len(structure))].append(t in first and bool(hit[first[t]]))
    return {
        "match_rate": share(hit[rows], n),
        "match_rate_answered": share(hit[rows]),
        "match_rate_valid": share(hit[rows] & valid[rows], n),
        "match_rate_among_valid": share(hit[rows][valid[rows]]),
        "match_rate_any": share([hit[found].any() for found in answers.values()], n),
        "match_rate_by_atoms": {size: share(by_size[size]) for size in sorted(by_size, key=_first_number)},
        "rmse": estimate(errors, np.mean),
        "rmse_penalised": estimate(penalised, np.mean),
        "reference": n,
        "without_answer": n - len(first),
    }


def _anyone(
    made: Sequence[Structure],
    true: Sequence[Structure],
    answers: dict[int, list[int]],
    rms: dict[tuple[int, int], float],
    executor: Executor,
) -> np.ndarray:
    """For each reference structure, whether any answer of its formula matches it."""
    found = np.zeros(len(true), dtype=bool)
    found[[t for _, t in rms]] = True
    by_formula: dict[str, list[int]] = defaultdict(list)
    for i, structure in enumerate(made):
        by_formula[structure.composition.reduced_formula].append(i)
    missing = [int(t) for t in np.flatnonzero(~found)]
    others = [(i, t) for t in missing for i in by_formula[true[t].composition.reduced_formula] if i not in answers[t]]
    found[[t for _, t in _distances(others, made, true, executor)]] = True
    return found


def _size(atoms: int) -> str:
    low = (atoms - 1) // 4 * 4 + 1
    return f"{low}-{low + 3}" if low <= 17 else "21-"


def _first_number(size: str) -> int:
    return int(size.split("-")[0])
