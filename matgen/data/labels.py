"""Values of properties beside the structures: which columns they are, their units, and what cannot be true."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.columns import PER_CELL, UNITS, factor, given_unit, property_name, roles
from matgen.data.property import PROPERTIES, Property, declare
from matgen.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLAUSIBLE = {"e_form": (-8.0, 8.0), "e_above_hull": (-2.0, 10.0), "band_gap": (-1e-3, 30.0)}
"""Ranges outside which a value is an error, in the property's unit; otherwise the bounds of the property hold."""

WRONG_UNIT = 0.25
"""If a larger share of a column is implausible, not single rows are wrong but its unit."""

OUTLIER = 6.0
"""Robust z-score beyond which a value is flagged: distance from the median in units of (p95 - p5) / 3.29.

For a normal distribution that unit is the standard deviation; unlike the median absolute deviation it also serves
columns of which most values are zero, such as band gaps.
"""

AGREEMENT = {"e_form": 0.05, "e_above_hull": 0.05, "band_gap": 0.3}
"""Differences, in the property's unit, up to which labels of the same structure agree."""

AGREEMENT_SHARE = 0.1
"""The same for other properties, as a share of the range between their 5th and 95th percentile."""

RESERVED = frozenset(
    {"id", "source_id", "source", "row", "formula", "n_atoms", "space_group", "split", "group", "flags", "notes"}
    | {"smiles", "inchikey", "numbers", "frac", "cell", "volume_per_atom", "density", "amd", "stage", "reason", "raw"}
)


@dataclass(frozen=True)
class Labels:
    """Properties of N rows.

    Args:
        table: (N, P) values by property, NaN where there is none.
        times: (N, T) columns that order rows in time, as the source has them.
        about: For each property its column, its label, its unit and how that is known.
        notes: For each row what could not be used.
        ignored: Columns that hold no numbers.
    """

    table: pd.DataFrame
    times: pd.DataFrame
    about: dict[str, dict[str, Any]]
    notes: list[list[str]]
    ignored: list[str] = field(default_factory=list)


def read_labels(
    values: Sequence[Mapping[str, Any]],
    n_atoms: Sequence[float],
    *,
    rename: dict[str, str],
    units: dict[str, str],
    require: Sequence[str],
) -> Labels:
    """Find the properties among the values of rows and bring them to their units.

    Args:
        values: What the source says of each row, by column.
        n_atoms: Number of atoms in each cell, NaN where unknown.
        rename: Property names for columns.
        units: Units of properties or columns where the source has others than assumed.
        require: Properties that are wanted, which must exist.

    Raises:
        DataError: A wanted property or a named column does not exist, or a column is in another unit.
        ConfigError: A unit is unknown.
    """
    columns = list(dict.fromkeys(column for row in values for column in row))
    role = roles(columns)
    wanted = {*rename, *require}
    table: dict[str, np.ndarray] = {}
    about: dict[str, dict[str, Any]] = {}
    ignored: list[str] = []
    notes: list[list[str]] = [[] for _ in values]
    for column in (c for c in columns if role[c] == "value" or c in wanted):
        name = _free_name(property_name(column, rename), table)
        numbers = [_number(row.get(column)) for row in values]
        if not _is_numeric(column, numbers, values) and not wanted & {column, name}:
            ignored.append(column)
            continue
        _note_unusable(name, column, numbers, values, notes)
        unit, known = given_unit(column, name, columns, units)
        scale, per_cell = factor(name, unit)
        series = np.array(numbers, dtype=float) * scale / (np.asarray(n_atoms, dtype=float) if per_cell else 1.0)
        final = PROPERTIES[name].unit if name in PROPERTIES else unit
        table[name] = series
        about[name] = {"column": column, "label": _label(name), "unit": final, "given_unit": unit, "unit_is": known}
    _require_known([*require, *rename.values()], table, columns)
    frame = pd.DataFrame(table, index=range(len(values)), dtype=float)
    for name in frame:
        check_unit(str(name), frame[name].to_numpy(), np.asarray(n_atoms, dtype=float))
        if name not in PROPERTIES:
            declare(Property(str(name), about[str(name)]["label"], about[str(name)]["unit"]))
    times = {c: [_time(row.get(c)) for row in values] for c in columns if role[c] == "time" and c not in table}
    return Labels(frame, pd.DataFrame(times, index=range(len(values))), about, notes, ignored)


def check_unit(name: str, values: np.ndarray, n_atoms: np.ndarray) -> None:
    """Refuse a column whose values are largely impossible in the unit they are taken for.

    Raises:
        DataError: The message lists the units in which they would be possible.
    """
    present = values[np.isfinite(values) & (values != 0)]
    wrong = implausible(name, values)
    if wrong.sum() < 3 or wrong.sum() <= WRONG_UNIT * len(present):
        return
    unit = PROPERTIES[name].unit
    possible = []
    for other, scale in UNITS.get(unit, {}).items():
        converted = values * scale / (n_atoms if other in PER_CELL else 1.0)
        if other != unit and np.isfinite(converted).any() and not implausible(name, converted).any():
            possible.append(other)
    raise DataError(
        f"{wrong.sum()} of {len(present)} values of {name} cannot be {unit} (median {np.median(present):.4g}).",
        where=name,
        fix=f"Say the unit, for example --unit {name}={possible[0]}; possible: {', '.join(possible)}."
        if possible
        else "Check the column, or rename it with --rename COLUMN=NAME.",
    )


def implausible(name: str, values: np.ndarray) -> np.ndarray:
    """(N,) whether each value lies where none of its kind can lie; missing values do not."""
    prop = PROPERTIES.get(name)
    lower, upper = PLAUSIBLE.get(name, (prop.lower, prop.upper) if prop else (-math.inf, math.inf))
    return np.isfinite(values) & ((values < lower) | (values > upper))


def outliers(values: np.ndarray) -> np.ndarray:
    """(N,) whether each value has a robust z-score beyond :data:`OUTLIER`; none in columns of fewer than 20 values."""
    present = values[np.isfinite(values)]
    if len(present) < 20:
        return np.zeros(len(values), dtype=bool)
    low, middle, high = np.percentile(present, [5, 50, 95])
    with np.errstate(invalid="ignore"):
        return np.isfinite(values) & (high > low) & (np.abs(values - middle) * 3.29 > OUTLIER * (high - low))


def tolerance(name: str, values: np.ndarray) -> float:
    """Difference up to which two labels of the same structure agree."""
    if name in AGREEMENT:
        return AGREEMENT[name]
    present = values[np.isfinite(values)]
    if not len(present):
        return math.inf
    low, high = np.percentile(present, [5, 95])
    return float(AGREEMENT_SHARE * (high - low)) or math.inf


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    if name in RESERVED:
        name = f"{name}_given"
    while name in taken:
        name = f"{name}_2"
    return name


def _number(value: Any) -> float:
    """A finite number, or NaN."""
    if value is None or isinstance(value, bool):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _time(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _is_numeric(column: str, numbers: Sequence[float], values: Sequence[Mapping[str, Any]]) -> bool:
    """Whether most of what a column holds are numbers."""
    held = sum(row.get(column) not in (None, "") for row in values)
    return held > 0 and 2 * sum(not math.isnan(number) for number in numbers) >= held


def _note_unusable(
    name: str, column: str, numbers: Sequence[float], values: Sequence[Mapping[str, Any]], notes: list[list[str]]
) -> None:
    for number, row, note in zip(numbers, values, notes, strict=True):
        if math.isnan(number) and row.get(column) not in (None, ""):
            note.append(f"{name} {str(row[column])[:30]!r} is no finite number and counts as missing")


def _require_known(wanted: Sequence[str], table: Mapping[str, Any], columns: Sequence[str]) -> None:
    for name in wanted:
        if name not in table:
            raise DataError(
                f"no column holds {name!r}.",
                where=name,
                fix=f"{did_you_mean(name, [*table, *columns])} A column is named with --rename COLUMN={name}.",
            )


def _label(name: str) -> str:
    return PROPERTIES[name].label if name in PROPERTIES else name.replace("_", " ")
