"""The structures that generated ones are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.columns import ALIASES
from matgen.data.readers.base import find_reader
from matgen.data.reading import read_content, settled
from matgen.data.structures import pack, read_structures, unpack
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.data.records import Record
    from matgen.execution import Executor, Row

ENERGY = "e_form"


@dataclass(frozen=True)
class Reference:
    """Named structures.

    Args:
        name: Where they come from.
        ids: One for each structure.
        structures: Ordered structures.
        energies: Formation energy of each in eV/atom, NaN where unknown.
    """

    name: str
    ids: list[str]
    structures: list[Structure]
    energies: np.ndarray


def read_reference(path: str | Path, executor: Executor) -> Reference:
    """Read a reference in any form that ``ingest`` reads.

    Args:
        path: A data set, a structure file, or a table with ``material_id`` and ``cif``.
        executor: Parses the rows of a raw table.

    Raises:
        DataError: It does not exist or a row of it cannot be read.
    """
    path = Path(path)
    folded = path / "structures.parquet"
    try:
        table, structures = read_structures(folded if folded.exists() else path)
    except DataError:
        return _read_raw(path, executor)
    ids = table["material_id" if "material_id" in table else "id"].astype(str).tolist()
    energies = pd.to_numeric(table[ENERGY]) if ENERGY in table else pd.Series(np.nan, index=table.index)
    return Reference(path.name, ids, structures, energies.to_numpy(dtype=float))


def read_rows(items: Sequence[Row]) -> list[Row]:
    """Worker: packed structures of raw rows."""
    return [_read(item) for item in items]


def packed(structures: Sequence[Structure]) -> list[Row]:
    """Structures as plain rows for an executor."""
    return [{str(k): v for k, v in row.items()} for row in pd.DataFrame(pack(structures)).to_dict("records")]


def _read_raw(path: Path, executor: Executor) -> Reference:
    records = list(find_reader(str(path)).read(str(path)))
    items = [{"format": r.format, "content": r.content} for r in records]
    rows = executor.map(read_rows, items, name="read the reference", shard=200, seconds=60)
    broken = [(r.row, row["error"]) for r, row in zip(records, rows, strict=True) if "error" in row]
    if broken:
        raise DataError(f"row {broken[0][0]} cannot be read: {broken[0][1]}", where=str(path))
    ids = [record.id or str(record.row) for record in records]
    return Reference(path.name, ids, unpack(pd.DataFrame(rows)), np.array([_energy(r) for r in records]))


def _read(item: Row) -> Row:
    structure = read_content(item["format"], item["content"]).structure
    if structure is None:
        return {"error": "no structure"}
    return packed([settled(structure)[0]])[0]


def _energy(record: Record) -> float:
    found: dict[str, Any] = {ALIASES.get(name, name): value for name, value in record.values.items()}
    energy = pd.to_numeric(found.get(ENERGY), errors="coerce")
    return float("nan" if energy is None else energy)
