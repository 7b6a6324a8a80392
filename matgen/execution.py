"""Where work runs: a stage hands over items, an executor cuts them into shards and returns one row an item.

Items and rows are plain JSON values (structures travel as packed columns), so that any executor (this process,
a process pool, a ledger that survives a kill, another machine) can take the place of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = dict[str, Any]
"""JSON-serialisable values by name. A failed item is a row with the single key ``error`` (the reason)."""


class Executor(Protocol):
    """Runs a function over shards of items."""

    def map(
        self,
        function: Callable[[Sequence[Row]], list[Row]],
        items: Sequence[Row],
        *,
        name: str,
        shard: int,
        seconds: float | None = None,
    ) -> list[Row]:
        """One row for each item, in order.

        Args:
            function: Importable at module level (or a ``functools.partial`` of such with plain arguments); takes
                the items of one shard and returns as many rows.
            items: Plain JSON values.
            name: What is being done, for progress and the ledger.
            shard: Items in one shard.
            seconds: Time limit for each item; a shard has ``shard * seconds``. A shard that raises, dies or runs
                out of time is retried item by item, and an item that fails alone becomes an ``error`` row.
        """
        ...
