"""Tables of formulas and values, for properties that come without structures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition

from matgen.errors import DataError, did_you_mean
from matgen.features.composition import amounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


@dataclass(frozen=True)
class FormulaTable:
    """How a table of formulas is read.

    Args:
        formula: Column of formulas; None where the rows are structures.
        above: Values at or below this bound are left out, such as a zero that means unknown.
        log10: Whether the decimal logarithm of the column is the property.
    """

    formula: str | None = "formula"
    above: float | None = None
    log10: bool = False


def read_formulas(
    sources: Sequence[str | Path], column: str, table: FormulaTable
) -> tuple[list[Composition], np.ndarray, int]:
    """Compositions, values (S,) and the number of rows left out: no number, at or below the bound, or no real formula.

    Args:
        sources: CSV files (also compressed) or Parquet files.
        column: Column of the values.
        table: How to read them.

    Raises:
        DataError: No such column, or not one row that can be used.
    """
    found: list[Composition] = []
    values: list[float] = []
    left_out = 0
    where = table.formula or "formula"
    for source in sources:
        rows = _rows(source, (where, column))
        for formula, value in zip(rows[where], _values(rows[column], table), strict=True):
            composition = _composition(formula) if np.isfinite(value) else None
            if composition is None:
                left_out += 1
                continue
            found.append(composition)
            values.append(value)
    if not values:
        raise DataError(f"no row has a formula and a value of {column!r}.", where=str(sources[0]))
    return found, np.array(values), left_out


def read_compositions(source: str | Path, column: str) -> tuple[pd.DataFrame, list[Composition | None]]:
    """All rows of a CSV (also compressed) or Parquet file, and the composition of each; None where there is no formula.

    Raises:
        DataError: No such table or column.
    """
    rows = _rows(source, (column,))
    return rows, [_composition(formula) for formula in rows[column]]


def read_column(source: str | Path, column: str) -> list[str]:
    """The texts in one column of a CSV (also compressed) or Parquet file, empty cells left out.

    Raises:
        DataError: No such table or column.
    """
    return [str(value) for value in _rows(source, (column,))[column].dropna()]


def _rows(source: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if not Path(source).is_file():
        raise DataError("there is no such table.", where=str(source))
    # Sodium nitride is spelled NaN: only an empty cell is a missing one.
    parquet = Path(source).suffix == ".parquet"
    rows = pd.read_parquet(source) if parquet else pd.read_csv(source, keep_default_na=False, na_values=[""])
    for column in columns:
        if column not in rows:
            fix = did_you_mean(column, rows.columns)
            raise DataError(f"there is no column {column!r}.", where=str(source), fix=fix)
    return rows


def _values(column: pd.Series, table: FormulaTable) -> np.ndarray:
    """Numbers (S,), not finite where a row cannot be used; text such as a bound ``<1e-8`` is no number."""
    import pandas as pd

    return transformed(pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan), table)


def transformed(values: np.ndarray, table: FormulaTable) -> np.ndarray:
    """Values (S,) as the property holds them: NaN at or below the bound, and the logarithm if that is asked."""
    bound = 0.0 if table.log10 and table.above is None else table.above
    if bound is not None:
        values = np.where(values > bound, values, np.nan)
    return np.log10(values) if table.log10 else values


def _composition(formula: object) -> Composition | None:
    try:
        composition = Composition(str(formula), strict=True)
        amounts(composition)
    except (ValueError, KeyError, DataError):
        return None
    return composition
