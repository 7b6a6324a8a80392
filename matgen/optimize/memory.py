"""Results of long work kept on disk, so that the same item is never worked on twice, in this search or another."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matgen.errors import ConfigError
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matgen.execution import Executor, Row

PASSING = ("timeout", "oom", "error")
"""Statuses that another try on a machine with less to do may not give."""

_BUSY = 60.0
"""Seconds to wait for another process that writes."""


@dataclass(frozen=True)
class Remembering:
    """An executor that looks an item up before it has it worked on.

    What identifies a result is the function with its settings and the item, so a search with another potential or
    other relaxation settings finds nothing of this one. It takes for granted that the function gives the same for the
    same item; failures for want of time or memory are not kept. Several processes may share the file.

    Args:
        inner: Where the work runs.
        path: SQLite file, made where it is missing.
    """

    inner: Executor
    path: Path

    def map(
        self,
        function: Callable[[Sequence[Row]], list[Row]],
        items: Sequence[Row],
        *,
        name: str,
        shard: int,
        seconds: float | None = None,
    ) -> list[Row]:
        """See :meth:`matgen.execution.Executor.map`."""
        keys = [content_id(_identity(function), item, length=32) for item in items]
        known = self._read(keys)
        missing = [i for i, key in enumerate(keys) if key not in known]
        if missing:
            asked = [items[i] for i in missing]
            found = self.inner.map(function, asked, name=name, shard=shard, seconds=seconds)
            fresh = {keys[i]: row for i, row in zip(missing, found, strict=True)}
            self._keep({key: row for key, row in fresh.items() if _lasting(row)})
            known |= fresh
        return [known[key] for key in keys]

    def _read(self, keys: Sequence[str]) -> dict[str, Row]:
        with closing(self._connection()) as base:
            rows = (base.execute("SELECT row FROM results WHERE key = ?", (key,)).fetchone() for key in keys)
            return {key: json.loads(row[0]) for key, row in zip(keys, rows, strict=True) if row is not None}

    def _keep(self, rows: dict[str, Row]) -> None:
        with closing(self._connection()) as base, base:
            lines = [(key, json.dumps(row)) for key, row in rows.items()]
            base.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", lines)

    def _connection(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            base = sqlite3.connect(self.path, timeout=_BUSY)
            base.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, row TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            fix = "Give the path of a new file."
            raise ConfigError(f"the memory cannot be used: {error}.", where=str(self.path), fix=fix) from error
        return base


def _identity(function: Any) -> list[Any]:
    """Name and settings of a worker."""
    if isinstance(function, partial):
        return [*_identity(function.func), list(function.args), function.keywords]
    return [function.__module__, function.__qualname__]


def _lasting(row: Row) -> bool:
    return "error" not in row and row.get("status") not in PASSING
