"""Calibrate the intervals of a trained surrogate on rows that it has not learned from; its means stay as they are.

Shapes: S materials.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.errors import ConfigError, DataError
from matgen.surrogates.conformal import Z_LEVEL, ErrorModel, Judged
from matgen.surrogates.ensemble import DeepEnsemble
from matgen.surrogates.storage import load_surrogate
from matgen.surrogates.training import measured, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.surrogates.base import Surrogate
    from matgen.surrogates.tables import FormulaTable

LEAST = 40
"""Of so many rows the coverage has a standard deviation of 0.046; fewer say too little."""

FOLDS = 10

STALE = "coverage and ranking by uncertainty under 'test' and 'cross_validation' are from before this calibration"


def calibrate_surrogate(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    column: str | None = None,
    exclude: str | Path | None = None,
    table: FormulaTable | None = None,
    held_out: bool = False,
    test: str | Path | None = None,
    seed: int = 0,
) -> Surrogate:
    """Set the size of a model's intervals anew, in all and in each region of chemistry with at least 100 rows.

    By default the rows are new to the model: which of two predictions is the more certain stays as it is, up to the
    factor of the region. With ``held_out`` they are the rows of its training, and of those only the ones that the
    training kept aside are used, for exponents and factors alike (see :meth:`ErrorModel.fit`).

    Args:
        model: Name of a shipped model, or folder.
        data: Data sets, structure files or tables of formulas with true values.
        out: Folder for the calibrated model.
        column: Column of ``data`` that holds the value; by default the property's name.
        exclude: A data set or file whose ids are left out, such as what the model learned from.
        table: How to read ``data`` where it is a table of formulas instead of structures.
        held_out: Whether ``data`` are those of the model's training, with the same ``exclude``, in the same order.
        test: A table like ``data`` that is measured afterwards and noted in the card.
        seed: Of the tenths by which the new intervals are checked.

    Returns:
        The calibrated model; ``card["calibration"]`` says how many rows each region has, what share of them the old
        intervals held, and what share the new ones hold, each tenth of the rows by intervals of the others.

    Raises:
        ConfigError: No such model, or one that keeps no rows aside where ``held_out`` is asked.
        DataError: Fewer than 40 rows, or other rows than those of the training where ``held_out`` is asked.
    """
    surrogate = load_surrogate(model)
    column = column or surrogate.prop.name
    materials, values, _ = read_rows(data, column, table, exclude)
    if held_out:
        chosen = _kept_aside(surrogate, values)
        materials, values = [materials[i] for i in chosen], values[chosen]
    if len(values) < LEAST:
        raise DataError(f"{len(values)} rows are too few to calibrate on.", fix=f"Give at least {LEAST}.")
    old = _errors(surrogate)
    judged = surrogate.judge(materials, values)
    surrogate.errors = ErrorModel.fit(judged, old.floor) if held_out else old.calibrated(judged)
    order = np.random.default_rng(seed).permutation(len(judged))
    record = {
        "data": "rows that the training kept aside" if held_out else ", ".join(_names(data)),
        "date": datetime.now(UTC).date().isoformat(),
        "rows": len(judged),
        "regions": coverage_by_region(judged.chosen(order), old, refit=held_out),
    }
    card = {key: value for key, value in surrogate.card.items() if key != "calibration"}
    if test is None:
        record["note"] = STALE
    else:
        rows = read_rows(test, column, table)
        card["test"] = {"data": Path(test).name, **measured(surrogate, *rows[:2])}
    surrogate.save(Path(out), **card, calibration=record)
    return surrogate


def coverage_by_region(judged: Judged, old: ErrorModel, *, refit: bool = False) -> list[dict[str, Any]]:
    """Share of rows that 90 % intervals hold, in all and by region: by the old error model, and by new ones.

    Args:
        judged: S rows in random order.
        old: The error model so far.
        refit: Whether new error models learn their exponents too.

    Returns:
        For each region ``region, rows, before, after``; ``after`` is by error models of nine tenths on the tenth left
        out.
    """
    before = judged.errors <= Z_LEVEL * old.std(judged.signals, judged.regions)
    after, part = np.zeros(len(judged), dtype=bool), np.arange(len(judged)) % FOLDS
    for fold in range(FOLDS):
        rest, seen = judged.chosen(part != fold), judged.chosen(part == fold)
        new = ErrorModel.fit(rest, old.floor) if refit else old.calibrated(rest)
        after[part == fold] = seen.errors <= Z_LEVEL * new.std(seen.signals, seen.regions)
    names = np.full(len(judged), "all") if judged.regions is None else judged.regions
    found = pd.DataFrame({"region": names, "before": before, "after": after})
    groups = [("all", found)] if judged.regions is None else [("all", found), *found.groupby("region")]
    return [
        {"region": str(name), "rows": len(rows)} | {k: round(float(rows[k].mean()), 3) for k in ("before", "after")}
        for name, rows in groups
    ]


def _kept_aside(surrogate: Surrogate, values: np.ndarray) -> np.ndarray:
    if isinstance(surrogate, DeepEnsemble):
        return surrogate.held_out(values)
    raise ConfigError(
        f"a {surrogate.card['surrogate']} keeps no rows aside: each row is judged by the part that has not seen it.",
        where="--held-out",
        fix="Give rows that are new to the model, or train it again.",
    )


def _errors(surrogate: Surrogate) -> ErrorModel:
    if surrogate.errors is None:
        raise ConfigError("the model says nothing of its errors.", where="model", fix="Train it again.")
    return surrogate.errors


def _names(data: str | Path | Sequence[str | Path]) -> list[str]:
    return [Path(source).name for source in ([data] if isinstance(data, str | Path) else data)]
