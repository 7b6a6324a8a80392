"""An executor that survives being killed: it cuts work into shards of a ledger and lets another executor run them."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen import __version__
from matgen.errors import MatgenError
from matgen.execution import Pool
from matgen.runtime import content_id
from matgen.workflow.ledger import HEARTBEAT, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matgen.execution import Executor, Row

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How often a shard that another process is running is looked at."""


@dataclass(frozen=True)
class _Shard:
    key: str
    items: list[Row]


@dataclass
class LedgerExecutor:
    """Runs shards on ``inner`` and keeps every finished one in a ledger.

    The worker that runs a shard writes its result and marks it done, so at most the shards that were running are
    lost when everything is killed. A shard's key is the content of the function's name, its arguments, the items,
    and the version of matgen: equal work is done once, whichever stage or run of this folder asks for it.

    Args:
        folder: The ledger's folder.
        inner: Runs the shards; a process pool with one worker for each core by default.
        scope: Joins the keys, for example a stage's version, so that changed code does not meet old results.
        heartbeat: Seconds between signs of life of a running shard.
        network: Accept a network file system.
    """

    folder: Path
    inner: Executor = field(default_factory=Pool)
    scope: str = ""
    heartbeat: float = HEARTBEAT
    network: bool = False

    def map(
        self,
        function: Callable[[Sequence[Row]], list[Row]],
        items: Sequence[Row],
        *,
        name: str,
        shard: int,
        seconds: float | None = None,
    ) -> list[Row]:
        """One row for each item, in order (see :class:`matgen.execution.Executor`)."""
        shards = self._cut(function, items, max(shard, 1))
        with closing(Ledger(self.folder, self.heartbeat, self.network)) as ledger:
            ledger.register((s.key, name, len(s.items)) for s in shards)
            results = {s.key: ledger.result(s.key) for s in shards}
            while waiting := [s for s in _distinct(shards) if results[s.key] is None]:
                ledger.release_dead()
                if not self._attempt(ledger, function, waiting, name, seconds):
                    time.sleep(POLL_SECONDS)  # other processes hold what is left
                results.update({s.key: ledger.result(s.key) for s in waiting})
        return [row for s in shards for row in results[s.key] or []]

    def _cut(self, function: Callable[..., Any], items: Sequence[Row], size: int) -> list[_Shard]:
        cut = [list(items[i : i + size]) for i in range(0, len(items), size)]
        called = _spelling(function)
        return [_Shard(content_id(__version__, self.scope, called, part, length=24), part) for part in cut]

    def _attempt(
        self, ledger: Ledger, function: Callable[..., Any], shards: list[_Shard], name: str, seconds: float | None
    ) -> int:
        """Let the inner executor run shards; returns how many it settled."""
        work = partial(run_shards, function, str(self.folder), self.heartbeat)
        tasks = [{"key": s.key, "items": s.items} for s in shards]
        shown = f"{name}, shards of {max(len(s.items) for s in shards)}"
        answers = self.inner.map(work, tasks, name=shown, shard=1, seconds=seconds)
        settled = 0
        for s, answer in zip(shards, answers, strict=True):
            if "unwritten" in answer:
                raise MatgenError(
                    f"a result could not be written: {answer['unwritten']}.",
                    where=str(self.folder),
                    fix="Make room or repair the disk; the same command goes on from here.",
                )
            if "error" in answer:
                ledger.finish(s.key, self._single(function, s, answer["error"], name, seconds))
            settled += "busy" not in answer
        return settled

    def _single(
        self, function: Callable[..., Any], failed: _Shard, reason: str, name: str, seconds: float | None
    ) -> list[Row]:
        """What a failed shard gives item by item; an item that fails alone becomes a row with the reason."""
        if len(failed.items) == 1:
            return [{"error": reason}]
        log.info("%s: a shard failed (%s); its items are tried one at a time", name, reason)
        return self.map(function, failed.items, name=name, shard=1, seconds=seconds)


def run_shards(
    function: Callable[[Sequence[Row]], list[Row]], folder: str, heartbeat: float, tasks: Sequence[Row]
) -> list[Row]:
    """Worker's side: claim each shard, run it, write its result; one row a shard that says how it went."""
    return [_run(function, Path(folder), heartbeat, task["key"], task["items"]) for task in tasks]


class _FunctionError(Exception):
    """The function failed (its error is the cause), not the disk."""


def _run(
    function: Callable[[Sequence[Row]], list[Row]], folder: Path, heartbeat: float, key: str, items: list[Row]
) -> Row:
    try:
        with closing(Ledger(folder, heartbeat, attached=True)) as ledger, ledger.lease(key) as held:
            if held:
                ledger.finish(key, _rows(function, items))
            return {"done" if held else "busy": key}
    except _FunctionError as failure:
        raise failure.__cause__ or failure from None
    except (OSError, sqlite3.Error) as error:
        return {"unwritten": " ".join(str(error).split())}


def _rows(function: Callable[[Sequence[Row]], list[Row]], items: list[Row]) -> list[Row]:
    try:
        rows = list(function(items))
    except Exception as error:
        raise _FunctionError from error
    if len(rows) != len(items):
        raise _FunctionError from MatgenError(f"{len(items)} items gave {len(rows)} rows.")
    return rows


def _distinct(shards: list[_Shard]) -> list[_Shard]:
    return list({s.key: s for s in shards}.values())


def _spelling(function: Callable[..., Any]) -> Any:
    """Name and arguments of a function or a partial of one, as plain values."""
    if isinstance(function, partial):
        return [_spelling(function.func), [_plain(a) for a in function.args], function.keywords]
    return f"{function.__module__}.{function.__qualname__}"


def _plain(value: Any) -> Any:
    return _spelling(value) if callable(value) else value
