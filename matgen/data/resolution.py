"""What happens to rows that hold the same structure: which one stays, and whether their labels agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from matgen.data.duplicates import find_duplicates, is_same
from matgen.data.labels import tolerance

if TYPE_CHECKING:
    import pandas as pd

    from matgen.data.intake import Intake
    from matgen.execution import Executor

KEPT_FIRST = {"test": 0, "val": 1, "train": 2}
"""Of the same structure in several splits the one stays that a result is judged by."""

ENERGIES = ("e_above_hull", "e_form", "energy_per_atom")
"""Where labels disagree, the row with the lower energy is nearer to the ground state; the first that exists decides."""


def resolve_duplicates(
    intake: Intake, labels: pd.DataFrame, executor: Executor, action: Literal["quarantine", "flag"] = "quarantine"
) -> np.ndarray:
    """Refuse all but one of the rows that hold the same structure, and flag rows that hold nearly the same.

    Args:
        intake: N rows.
        labels: (N, P) values by property.
        executor: Compares similar structures.
        action: Whether rows with the same structure are refused or only flagged.

    Returns:
        (N,) number of the group of each row; rows of one group resemble each other.
    """
    inside = intake.inside
    table = intake.table.iloc[inside].reset_index(drop=True)
    found = find_duplicates(table, executor)
    group = np.arange(len(intake))
    group[inside] = inside[found.group]
    for position in found.unchecked:
        intake.notes[inside[position]].append("not compared with similar structures: it took too long")
    limits = {str(name): tolerance(str(name), labels[name].to_numpy()) for name in labels}
    for first in np.unique(found.group[found.group != np.arange(len(table))]):
        members = np.flatnonzero(found.group == first)
        same = [int(m) for m in members if m == first or is_same(table, int(m), int(first))]
        for near in set(map(int, members)) - set(same):
            intake.flags[inside[near]].append(f"near duplicate of {table['id'][first]}")
        if action == "flag":
            for other in same[1:]:
                intake.flags[inside[other]].append(f"duplicate: same structure as {table['id'][first]}")
        elif len(same) > 1:
            keep_one(intake, labels, inside[same], limits)
    return group


def keep_one(intake: Intake, labels: pd.DataFrame, rows: np.ndarray, limits: dict[str, float]) -> None:
    """Keep one of several rows with the same structure."""
    apart = {name: spread for name in labels if (spread := _spread(labels[name].to_numpy()[rows])) > limits[str(name)]}
    energy = next((name for name in ENERGIES if name in labels and labels[name].iloc[rows].notna().any()), None)
    names = ", ".join(str(intake.table.at[row, "id"]) for row in rows)
    if apart and energy is None:
        for row in rows:
            intake.refuse(int(row), "labels", f"labels disagree among duplicates: {_described(apart)} ({names})")
        return
    kept = min(rows, key=lambda row: _preference(intake, labels, int(row), energy))
    for row in rows:
        if row != kept:
            intake.refuse(int(row), *_reason(intake, int(row), int(kept)))
    if apart:
        intake.flags[kept].append(f"labels disagree among duplicates: {_described(apart)}")
        intake.notes[kept].append(f"lowest kept of duplicates whose labels disagree: {energy} among {names}")


def _preference(intake: Intake, labels: pd.DataFrame, row: int, energy: str | None) -> tuple[float, float, float, int]:
    """Smallest for the row to keep: judged by, complete, low in energy, early."""
    split = KEPT_FIRST.get(str(intake.table.at[row, "split"]), 3)
    value = float(labels[energy].iloc[row]) if energy else 0.0
    return split, float(labels.iloc[row].isna().sum()), np.inf if np.isnan(value) else value, row


def _reason(intake: Intake, row: int, kept: int) -> tuple[str, str]:
    name = intake.table.at[kept, "id"]
    splits = intake.table.at[row, "split"], intake.table.at[kept, "split"]
    if all(splits) and splits[0] != splits[1]:
        return "leakage", f"leakage: same structure as {name} of the split {splits[1]}, this one is in {splits[0]}"
    return "duplicates", f"duplicate: same structure as {name}"


def _spread(values: np.ndarray) -> float:
    present = values[np.isfinite(values)]
    return float(np.ptp(present)) if len(present) else 0.0


def _described(apart: dict[str, float]) -> str:
    return ", ".join(f"{name} by {spread:.3g}" for name, spread in apart.items())
