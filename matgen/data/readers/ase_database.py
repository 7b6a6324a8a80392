"""ASE databases: SQLite and JSON."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from matgen.data.columns import NAMES
from matgen.data.readers.base import READERS, Reader, head
from matgen.data.records import Record, split_name
from matgen.data.structures import ASE_PREFIX
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase.db.row import AtomsRow

SQLITE = b"SQLite format 3\x00"


@READERS.register("ase")
class AseDatabase(Reader):
    """A database of ASE; key-value pairs become columns, the total energy an energy per atom."""

    suffixes: ClassVar[tuple[str, ...]] = (".db",)

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        """The mark of SQLite."""
        return head.startswith(SQLITE)

    def read(self, source: str) -> Iterator[Record]:
        """One record a row."""
        from ase.db import connect

        path = Path(source)
        kind, number = "db" if path.suffix.lower() != ".json" else "json", 0
        if kind == "db" and not _is_ase(path):
            raise DataError("no database of ASE.", where=source)
        try:
            with connect(path, type=kind, use_lock_file=False) as database:
                for number, row in enumerate(database.select(), start=1):
                    yield _record(row, number, path.name)
        except (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise DataError(f"unreadable ASE database ({error}).", where=source) from error
        if number == 0:
            raise DataError("the database is empty.", where=source)


def _is_ase(path: Path) -> bool:
    """Whether a file is an ASE database; ASE itself would turn any other SQLite file into one."""
    if not head(path).startswith(SQLITE):
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'systems'").fetchone()[0])
    except sqlite3.Error:
        return False


def _record(row: AtomsRow, number: int, source: str) -> Record:
    values: dict[str, Any] = {k.removeprefix(ASE_PREFIX): v for k, v in row.key_value_pairs.items()}
    name = next((str(values.pop(key)) for key in NAMES["id"] if key in values), None)
    formula = next((str(values.pop(key)) for key in NAMES["formula"] if key in values), None)
    split = split_name(str(values.pop("split"))) if "split" in values else None
    if (energy := row.get("energy")) is not None and row.natoms:
        values.setdefault("energy_per_atom", float(energy) / row.natoms)
    sites = {
        "cell": np.reshape(row["cell"], (3, 3)).tolist(),
        "pbc": [bool(p) for p in row["pbc"]],
        "cart": row["positions"].tolist(),
        "species": [{str(z): 1.0} for z in row["numbers"].tolist()],
    }
    plain = {k: v.item() if hasattr(v, "item") else v for k, v in values.items()}
    return Record(number, source, "sites", sites, id=name, formula=formula, split=split, values=plain)
