"""The table of candidates that flows from sampling to the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.data.structures import STRUCTURE_COLUMNS, read_structures, write_structures
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

ACCEPTED, REJECTED = "candidates.parquet", "rejected.parquet"


@dataclass
class Candidates:
    """Structures with a table to which stages add columns; a rejected row keeps its stage and reason.

    Args:
        table: One row a structure, with a unique ``id``.
        structures: As many as rows, in order.
        rejected: Rows that left, with ``stage``, ``reason`` and the columns they had.
        rejected_structures: As many as rejected rows, in order.
    """

    table: pd.DataFrame
    structures: list[Structure]
    rejected: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"id": [], "stage": [], "reason": []}))
    rejected_structures: list[Structure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = self.table.reset_index(drop=True)
        if len(self.table) != len(self.structures):
            raise MatgenError(f"{len(self.table)} rows but {len(self.structures)} structures.")
        if not self.table["id"].is_unique:
            raise MatgenError("candidate ids repeat.")

    def __len__(self) -> int:
        return len(self.table)

    def with_columns(self, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> Candidates:
        """A copy with columns added. Columns are never overwritten: an existing name is an error."""
        taken = [name for name in columns if name in self.table]
        if taken:
            raise MatgenError(f"the candidates already have {', '.join(taken)}.")
        added = pd.DataFrame({name: _values(columns[name]) for name in columns}, index=self.table.index)
        return self._replace(table=pd.concat([self.table, added], axis=1))

    def with_structures(self, structures: Sequence[Structure]) -> Candidates:
        """A copy in which each row has a new structure, for example a relaxed one."""
        return self._replace(structures=list(structures))

    def reject(self, stage: str, reasons: Sequence[str | None]) -> Candidates:
        """A copy without the rows that have a reason; those move to ``rejected`` with the stage's name."""
        if len(reasons) != len(self):
            raise MatgenError(f"{len(self)} rows but {len(reasons)} reasons.")
        keep = [i for i, reason in enumerate(reasons) if reason is None]
        drop = [i for i, reason in enumerate(reasons) if reason is not None]
        left = self.table.iloc[drop].assign(stage=stage, reason=[reasons[i] for i in drop])
        return Candidates(
            self.table.iloc[keep],
            [self.structures[i] for i in keep],
            pd.concat([self.rejected, left], ignore_index=True) if len(self.rejected) else left.reset_index(drop=True),
            self.rejected_structures + [self.structures[i] for i in drop],
        )

    def order_by(self, column: str) -> Candidates:
        """A copy sorted by a column, ties by id."""
        order = self.table.sort_values([column, "id"], kind="stable").index
        return self._replace(table=self.table.loc[order], structures=[self.structures[i] for i in order])

    def write(self, folder: str | Path) -> None:
        """Write ``candidates.parquet`` and ``rejected.parquet`` into a folder."""
        folder = Path(folder)
        write_structures(folder / ACCEPTED, self.table, self.structures)
        write_structures(folder / REJECTED, self.rejected, self.rejected_structures)

    @classmethod
    def read(cls, folder: str | Path) -> Candidates:
        """Read what :meth:`write` wrote."""
        folder = Path(folder)
        table, structures = read_structures(folder / ACCEPTED)
        rejected, rejected_structures = read_structures(folder / REJECTED)
        return cls(table, structures, rejected, rejected_structures)

    @classmethod
    def from_file(cls, path: str | Path) -> Candidates:
        """Candidates from any structure file that :func:`read_structures` reads."""
        table, structures = read_structures(path)
        return cls(table.drop(columns=[c for c in STRUCTURE_COLUMNS if c in table]), structures)

    def _replace(self, **changes: Any) -> Candidates:
        same = {name: getattr(self, name) for name in ("table", "structures", "rejected", "rejected_structures")}
        return Candidates(**{**same, **changes})


def _values(column: Any) -> Any:
    # Extension arrays keep their type (whole numbers with gaps); anything else goes in by position, without index.
    return column if isinstance(column, pd.api.extensions.ExtensionArray) else list(column)
