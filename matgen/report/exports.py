"""The candidates in the formats that other programs open."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from matgen.data.structures import write_structures
from matgen.runtime import write_text

if TYPE_CHECKING:
    import os

    from matgen.data.candidates import Candidates

EXTXYZ, DATABASE, CIFS, TABLE = "candidates.extxyz", "candidates.db", "cifs", "candidates.csv"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export(candidates: Candidates, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write the candidates as extended XYZ, an ASE database, a folder of CIFs and a CSV table.

    Args:
        candidates: What to write.
        folder: Where to; existing files of these names, and CIFs in a folder of that name, are replaced.

    Returns:
        The path of each file or folder, by its name.
    """
    paths = {name: Path(folder) / name for name in (EXTXYZ, DATABASE, CIFS, TABLE)}
    for old in paths[CIFS].glob("*.cif"):
        old.unlink()
    for name in (EXTXYZ, DATABASE, CIFS):
        write_structures(paths[name], candidates.table, candidates.structures)
    write_text(paths[TABLE], csv_text(candidates.table))
    return paths


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which no spreadsheet takes a cell of text for a formula.

    Text that begins with = + - @ gets an apostrophe in front, as the OWASP notes on CSV injection advise, and all text
    stands in quotes; numbers stay numbers.
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]) and not pd.api.types.is_bool_dtype(safe[name]):
            safe[name] = [_harmless(value) for value in safe[name]]
    return str(safe.rename(columns=_harmless).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))


def _harmless(value: object) -> object:
    if value is None or value is pd.NA or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
