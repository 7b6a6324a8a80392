"""Train a surrogate from a table of structures, measure it, and write it with its card."""

from __future__ import annotations

import logging
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.property import find_property
from matgen.data.structures import STRUCTURE_COLUMNS, column_names, read_structures
from matgen.errors import ConfigError, DataError, did_you_mean
from matgen.runtime import versions
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.tables import FormulaTable, read_formulas, transformed
from matgen.surrogates.validation import Split, cross_validate, figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.surrogates.base import Surrogate

logger = logging.getLogger(__name__)


def train_surrogate(
    data: str | Path | Sequence[str | Path],
    prop: str,
    *,
    out: str | Path,
    surrogate: str = "graph-ensemble",
    column: str | None = None,
    exclude: str | Path | None = None,
    test: str | Path | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    table: FormulaTable | None = None,
    folds: int = 0,
    split: Split = "formula",
) -> Surrogate:
    """Fit a surrogate on a table of structures and save it.

    The same call goes on where an earlier one was interrupted. Rows whose value is missing are left out and counted
    in the card.

    Args:
        data: Ingested data sets, or structure files with ids and values.
        prop: Name of the property.
        out: Folder for ``weights.safetensors`` and ``card.json``.
        surrogate: Name in the registry.
        column: Column of ``data`` that holds the value; by default the property's name.
        exclude: A data set or file whose ids must not be learned from.
        test: A table like ``data`` that is measured after training and noted in the card.
        seed: Of everything random.
        settings: Settings of the surrogate by name.
        facts: What the card should say besides: source and licence of the data, intended use, limits.
        table: How to read ``data`` where it is a table of formulas instead of structures.
        folds: Cross-validate over so many folds first, and note the figures in the card.
        split: What never lies on both sides of a fold.

    Raises:
        ConfigError: No such surrogate, property or setting.
        DataError: No such column, or too few rows with a value.
    """
    start, out = time.perf_counter(), Path(out)
    model = SURROGATES.get(surrogate)(find_property(prop), **(settings or {}))
    structures, values, missing = read_rows(data, column or prop, table, exclude)
    logger.info("%d rows with %s, %d without", len(values), prop, missing)
    if folds:
        checked = cross_validate(
            structures, values, prop, surrogate=surrogate, settings=settings, split=split, folds=folds, seed=seed
        )
    model.fit(structures, values, rng=np.random.default_rng(seed), folder=out / "unfinished")
    minutes = (time.perf_counter() - start) / 60
    card = {**(facts or {}), "rows": len(values), "rows_without_value": missing, "seed": seed}
    card |= {"date": datetime.now(UTC).date().isoformat(), "minutes": round(minutes, 1), "hardware": hardware()}
    card["versions"] = versions()
    if folds:
        card["cross_validation"] = checked
    if test is not None:
        rows = read_rows(test, column or prop, table)
        card["test"] = {"data": Path(test).name, **measured(model, *rows[:2])}
    model.save(out, **card)
    return model


def hardware() -> str:
    """What the training ran on, in words."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{name}, {torch.get_num_threads()} thread(s)"


def read_rows(
    data: str | Path | Sequence[str | Path],
    column: str,
    table: FormulaTable | None = None,
    exclude: str | Path | None = None,
) -> tuple[Sequence[Any], np.ndarray, int]:
    """Materials, their values (S,), and how many rows have none: structures, or formulas where ``table`` says so."""
    if table is None or table.formula is None:
        structures, values, missing = read_values(data, column, exclude)
        return (structures, values, missing) if table is None else _transformed(structures, values, missing, table)
    if exclude is not None:
        raise ConfigError("a table of formulas has no ids to leave out.", where="exclude")
    return read_formulas([data] if isinstance(data, str | Path) else list(data), column, table)


def _transformed(
    structures: list[Any], values: np.ndarray, missing: int, table: FormulaTable
) -> tuple[list[Any], np.ndarray, int]:
    """Structures and values as the bound and the logarithm of ``table`` leave them."""
    values = transformed(values, table)
    kept = np.flatnonzero(np.isfinite(values))
    return [structures[i] for i in kept], values[kept], missing + len(values) - len(kept)


def read_values(
    data: str | Path | Sequence[str | Path], column: str, exclude: str | Path | None = None
) -> tuple[list[Structure], np.ndarray, int]:
    """Structures and their values (S,), and how many rows have none; an id that repeats counts once.

    Args:
        data: Data sets or structure files with ids.
        column: Column of the values.
        exclude: A data set or file whose ids are left out.

    Raises:
        DataError: A table without such a column, or whose values are not numbers.
    """
    sources = [data] if isinstance(data, str | Path) else list(data)
    seen = set(_read(exclude)[0]["id"]) if exclude is not None else set()
    structures, values, missing = [], [], 0
    for source in sources:
        table, found = _read(source)
        for name, structure, value in zip(table["id"], found, _numbers(table, column, source), strict=True):
            if name in seen:
                continue
            seen.add(name)
            if np.isfinite(value):
                structures.append(structure)
                values.append(value)
            else:
                missing += 1
    return structures, np.array(values), missing


def _read(source: str | Path) -> tuple[pd.DataFrame, list[Any]]:
    """Table and materials of an ingested data set or a structure file: structures, or SMILES where there are any."""
    inside = Path(source) / "structures.parquet"
    path = inside if inside.is_file() else Path(source)
    if path.suffix == ".parquet" and "smiles" in (names := column_names(path)):
        table = pd.read_parquet(path, columns=[name for name in names if name not in STRUCTURE_COLUMNS])
        structures: list[Any] = list(table["smiles"])
    else:
        table, structures = read_structures(path)
    if "id" not in table and "material_id" in table:
        table = table.rename(columns={"material_id": "id"})
    if "id" not in table:
        raise DataError(
            "there is no column 'id'.", where=str(source), fix="Turn it into a data set with 'matgen data'."
        )
    return table, structures


def _numbers(table: pd.DataFrame, column: str, source: str | Path) -> np.ndarray:
    if column not in table:
        raise DataError(f"there is no column {column!r}.", where=str(source), fix=did_you_mean(column, table.columns))
    try:
        return table[column].to_numpy(dtype=float, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"the column {column!r} does not hold numbers ({error}).", where=str(source)) from error


def measured(model: Surrogate, structures: Sequence[Any], values: np.ndarray) -> dict[str, float]:
    """Errors and coverage of a fitted surrogate on S structures; see :func:`matgen.surrogates.validation.figures`."""
    return figures(model.predict(structures), values)
