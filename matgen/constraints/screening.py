"""Screening: candidates that break a constraint leave, with the reasons a chemist would give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.constraints.specification import DEFAULT_SPECS, Spec, build_constraints, specify
from matgen.data.structures import formula_of, is_molecule, pack, unpack_rows
from matgen.data.symmetry import SYMPREC, space_group_number
from matgen.execution import Serial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint
    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

ADDED = ("formula", "n_atoms", "space_group", "valid")
"""Columns that screening adds, where they are not there yet."""


def screen(
    candidates: Candidates,
    constraints: Sequence[Spec] = DEFAULT_SPECS,
    *,
    executor: Executor | None = None,
) -> Candidates:
    """Check every candidate against every constraint.

    Adds ``formula`` (reduced), ``n_atoms``, ``space_group`` (international number by moyo at a tolerance of 0.1 Å;
    missing where none can be found) and ``valid``. A candidate that breaks a constraint moves to the rejected ones
    with stage ``screen`` and all of its reasons.

    Args:
        candidates: What to screen.
        constraints: Names, settings by name, or constraint objects; each must be able to ``check``.
        executor: Where the work runs; this process if not given.
    """
    built = build_constraints(constraints)
    work = partial(examine, specs=[specify(c) for c in built])
    items = pd.DataFrame(pack(candidates.structures)).to_dict("records")
    rows = (executor or Serial()).map(work, items, name="screen", shard=200, seconds=60)
    reasons = [_reason(row) for row in rows]
    columns = {
        "formula": [formula_of(s) for s in candidates.structures],
        "n_atoms": [len(s) for s in candidates.structures],
        "space_group": pd.array([row.get("space_group") for row in rows], dtype="Int64"),
    }
    new = {name: values for name, values in columns.items() if name not in candidates.table}
    return candidates.with_columns({**new, "valid": [r is None for r in reasons]}).reject("screen", reasons)


def examine(items: Sequence[Row], *, specs: Sequence[dict[str, Any]]) -> list[Row]:
    """Space group and broken constraints of packed structures; the part of :func:`screen` that a worker runs."""
    constraints = build_constraints(specs)
    structures = unpack_rows(items)
    return [_examine(structure, constraints) for structure in structures]


def _examine(structure: Structure, constraints: Sequence[Constraint]) -> Row:
    reasons = [constraint.check([structure]).reasons[0] for constraint in constraints]
    return {
        "space_group": None if is_molecule(structure) else space_group_number(structure, SYMPREC),
        "reasons": [reason for reason in reasons if reason is not None],
    }


def _reason(row: Row) -> str | None:
    if "error" in row:
        return f"screening failed: {row['error']}"
    return "; ".join(row["reasons"]) or None
