"""All rows of a source on their way through the gate: read in chunks, judged in workers, gathered in one table."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.gate import judge
from matgen.data.molecule_gate import FLAT_FORMATS, MOLECULE_FORMATS, MoleculeRules
from matgen.data.readers.base import find_reader, plain_stem
from matgen.data.records import safe_id
from matgen.data.structures import STRUCTURE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matgen.data.plausibility import Limits
    from matgen.data.records import Record
    from matgen.execution import Executor, Row

CHUNK = 20_000
"""Rows held as text at one time."""

SHARD = 64

COLUMNS = (
    *STRUCTURE_COLUMNS,
    "smiles",
    "inchikey",
    "formula",
    "n_atoms",
    "space_group",
    "volume_per_atom",
    "density",
    "amd",
)
"""What the gate finds out about a row."""


class Intake:
    """Rows on their way; each is still in, or out with one stage and reason.

    Args:
        rows: One dictionary a row, as :func:`take_in` makes them.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.values: list[dict[str, Any]] = [row.pop("values") for row in rows]
        self.notes: list[list[str]] = [row.pop("notes") for row in rows]
        self.flags: list[list[str]] = [[] for _ in rows]
        self.table = pd.DataFrame(rows, columns=[*DESCRIPTION, *COLUMNS]).astype({"n_atoms": float})

    def __len__(self) -> int:
        return len(self.table)

    @property
    def inside(self) -> np.ndarray:
        """Positions of the rows that are still in."""
        return np.flatnonzero(self.table["reason"].isna().to_numpy())

    @property
    def has_structures(self) -> bool:
        """Whether any row holds a structure; otherwise there are formulas or SMILES alone."""
        without = self.table["format"].isin({"formula", *FLAT_FORMATS})
        without |= self.table["format"].eq("molblock") & self.table["numbers"].isna()
        return bool((~without).any())

    @property
    def has_molecules(self) -> bool:
        """Whether the rows hold molecules."""
        return bool(self.table["format"].isin(MOLECULE_FORMATS).any())

    def refuse(self, position: int, stage: str, reason: str) -> None:
        """Take a row out; a row that is out already keeps its first reason."""
        if pd.isna(self.table.at[position, "reason"]):
            self.table.loc[position, ["stage", "reason"]] = [stage, reason]


DESCRIPTION = ("row", "source", "source_id", "id", "split", "format", "raw", "stage", "reason")


def take_in(
    sources: Sequence[str],
    reader: str,
    limits: Limits,
    seconds: float,
    executor: Executor,
    molecules: MoleculeRules | None = None,
) -> Intake:
    """Read sources and judge each row alone.

    Args:
        sources: Files, folders or addresses.
        reader: Name of the reader, or ``auto``.
        limits: What still counts as matter.
        seconds: Time limit for one row.
        executor: Judges the rows.
        molecules: What is done with salts, charges and so on.

    Raises:
        DataError: A source as a whole cannot be read.
    """
    rows: list[Row] = []
    function = partial(judge, limits=limits, seconds=seconds, molecules=molecules)
    records = (record for source in sources for record in find_reader(source, reader).read(source))
    for chunk in _chunks(records):
        waiting = [record for record in chunk if record.problem is None]
        items = [{"format": r.format, "content": r.content, "formula": r.formula} for r in waiting]
        # Time limits inside the workers are the first to act; this one ends workers that hang in compiled code.
        judged = iter(executor.map(function, items, name="judge rows", shard=SHARD, seconds=4 * seconds))
        rows += [_row(record, next(judged) if record.problem is None else _refused(record)) for record in chunk]
    return Intake(rows)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _refused(record: Record) -> Row:
    return {"stage": "read", "reason": record.problem}


def _row(record: Record, judged: Row) -> Row:
    reason = judged.get("reason", judged.get("error"))
    return {
        "row": record.row,
        "source": record.source,
        "source_id": record.id,
        "id": safe_id(record.id or f"{plain_stem(Path(record.source))}-{record.row}"),
        "split": record.split,
        "format": record.format,
        "raw": record.excerpt(),
        "stage": judged.get("stage", "read") if reason else None,
        "reason": reason,
        **{name: judged.get(name) for name in COLUMNS},
        "values": {**record.values, **judged.get("values", {})},
        "notes": [*record.notes, *judged.get("notes", [])],
    }
