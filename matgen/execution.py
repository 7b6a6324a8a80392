"""Where work runs: a stage hands over items, an executor cuts them into shards and returns one row an item.

Items and rows are plain JSON values (structures travel as packed columns), so that any executor (this process,
a process pool, a ledger that survives a kill, another machine) can take the place of another.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from matgen import runtime
from matgen.errors import MatgenError
from matgen.registry import USER_FILES, load_user_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger(__name__)

Row = dict[str, Any]
"""JSON-serialisable values by name. A failed item is a row with the single key ``error`` (the reason)."""

START_SECONDS = 300.0
"""A worker that has not imported its function by then is given up."""

REPEAT_SECONDS = 0.1
"""A time limit that was swallowed strikes again after so long."""

LOG_SECONDS = 15.0
"""Where stderr is no terminal, progress is logged this often."""


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
            seconds: Time limit for a shard. A shard that raises, dies or runs out of time is retried item by item,
                each with the same limit, so that one item that hangs holds nothing up for long; an item that fails
                alone becomes an ``error`` row.
        """
        ...


@dataclass(frozen=True)
class Serial:
    """Runs everything in this process, for notebooks, debuggers and tests; it cannot stop an item that hangs."""

    def map(
        self,
        function: Callable[[Sequence[Row]], list[Row]],
        items: Sequence[Row],
        *,
        name: str,
        shard: int,
        seconds: float | None = None,
    ) -> list[Row]:
        """One row for each item, in order (see :class:`Executor`)."""
        rows: list[Row] = []
        with progress(name, len(items)) as advance:
            for task in _shards(len(items), shard):
                shard_items = [items[i] for i in task]
                try:
                    rows += _checked(function, shard_items)
                except Exception:  # any failure is answered by trying the items one at a time
                    rows += [_alone(function, item) for item in shard_items]
                advance(len(task))
        return rows


@dataclass
class Pool:
    """Runs shards in worker processes of one thread each; a worker that hangs or dies is replaced.

    Workers are fresh interpreters that import the function's module and nothing of the caller's script, so a
    script needs no ``__main__`` guard. They live until :meth:`close`, the end of a ``with`` block, or the end of
    this process.

    Args:
        workers: Number of processes; 0 is one for each core.
        memory: Limit on the data of one worker in GiB; an item that wants more fails with a reason.
    """

    workers: int = 0
    memory: float | None = None
    _team: list[_Worker] = field(default_factory=list, init=False, repr=False)

    def map(
        self,
        function: Callable[[Sequence[Row]], list[Row]],
        items: Sequence[Row],
        *,
        name: str,
        shard: int,
        seconds: float | None = None,
    ) -> list[Row]:
        """One row for each item, in order (see :class:`Executor`)."""
        waiting = deque(_shards(len(items), shard))
        rows: list[Row] = [{} for _ in items]
        try:
            self._muster(function, len(waiting))
            with progress(name, len(items)) as advance:
                while waiting or not all(worker.idle for worker in self._team):
                    for worker in self._team:
                        if waiting and worker.idle:
                            worker.begin(waiting.popleft(), items, seconds)
                    for worker in self._finished():
                        advance(self._collect(worker, function, rows, waiting))
        except BaseException:
            self.close()
            raise
        return rows

    def close(self) -> None:
        """End all workers; the next :meth:`map` starts new ones."""
        _end(self._team)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __post_init__(self) -> None:
        weakref.finalize(self, _end, self._team)

    def _muster(self, function: Callable[..., Any], shards: int) -> None:
        self._team[:] = [worker for worker in self._team if worker.alive]
        while len(self._team) < min(runtime.workers(self.workers), shards):
            self._team.append(_Worker(self.memory))
        for worker in self._team:
            worker.load(function)

    def _finished(self) -> list[_Worker]:
        active = {worker.connection: worker for worker in self._team if not worker.idle}
        first = min((worker.deadline for worker in active.values()), default=0.0)
        ready = wait(list(active), timeout=max(0.0, min(first - time.monotonic(), 3600.0)))
        late = [w for c, w in active.items() if c not in ready and time.monotonic() >= w.deadline]
        return [active[c] for c in ready if isinstance(c, Connection)] + late

    def _collect(self, worker: _Worker, function: Callable[..., Any], rows: list[Row], waiting: deque[range]) -> int:
        """Take a worker's answer into ``rows``; returns how many items that settles."""
        task, answer, failure = worker.answer()
        if not worker.alive:
            if task is None:
                raise MatgenError(f"a worker could not start: {failure}.", fix="See the messages above.")
            self._team[self._team.index(worker)] = fresh = _Worker(self.memory)
            fresh.load(function)
        if task is None:
            if failure:
                raise MatgenError(f"a worker could not import the function: {failure}.")
            return 0
        if failure and len(task) > 1:
            waiting.extendleft(range(i, i + 1) for i in reversed(task))
            return 0
        for i, row in zip(task, answer or [{"error": failure}], strict=True):
            rows[i] = row
        return len(task)


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a loop is, how fast and how long it still takes; yields a function to call with finished items.

    A bar on stderr where that is a terminal, otherwise a log line every :data:`LOG_SECONDS`.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _logged(name, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True)]
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(name, total=total, rate="")
        start, done = time.monotonic(), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.update(task, advance=n, rate=f"{done / max(time.monotonic() - start, 1e-9):.3g}/s")

        yield advance


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after ``seconds``.

    It interrupts Python code in the main thread of a POSIX process; elsewhere, and inside a long call into
    compiled code, only the executor's own limit holds.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again, because parsers catch every exception here and there, and so would swallow a single one.
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


# --- both sides ------------------------------------------------------------------------------------------------------


def _shards(n: int, size: int) -> list[range]:
    return [range(start, min(start + max(size, 1), n)) for start in range(0, n, max(size, 1))]


def _checked(function: Callable[[Sequence[Row]], list[Row]], items: Sequence[Row]) -> list[Row]:
    rows = list(function(items))
    if len(rows) != len(items):
        raise MatgenError(f"{len(items)} items gave {len(rows)} rows.")
    return rows


def _alone(function: Callable[[Sequence[Row]], list[Row]], item: Row) -> Row:
    try:
        return _checked(function, [item])[0]
    except Exception as error:
        return {"error": _reason(error)}


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _logged(name: str, total: int) -> Callable[[int], None]:
    start = last = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= LOG_SECONDS and done:
            last = now
            left = (now - start) * (total - done) / done
            log.info("%s: %d of %d, %.3g/s, %.0f s left", name, done, total, done / (now - start), left)

    return advance


# --- parent's side of a worker ---------------------------------------------------------------------------------------


def _end(team: list[_Worker]) -> None:
    for worker in team:
        worker.kill()
    team.clear()


class _Worker:
    """A child process, the connection to it, and what it is doing: loading, idle, or busy with a shard."""

    def __init__(self, memory: float | None) -> None:
        self.connection, theirs = Pipe()
        self.memory = memory
        self.task: range | None = None
        self.idle, self.deadline = True, float("inf")
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        code = "from matgen.execution import serve; serve()"
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 (our own interpreter, fixed arguments)
                [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the workers
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def load(self, function: Callable[..., Any]) -> None:
        self.idle, self.task, self.deadline = False, None, time.monotonic() + START_SECONDS
        self._send(("prepare", (self.memory, list(USER_FILES))))
        self._send(("load", function))

    def begin(self, task: range, items: Sequence[Row], seconds: float | None) -> None:
        limit = float("inf") if seconds is None else seconds
        self.idle, self.task, self.deadline = False, task, time.monotonic() + limit
        self._send(("run", [items[i] for i in task]))

    def answer(self) -> tuple[range | None, list[Row] | None, str | None]:
        """The task, its rows, and why it failed; a worker past its deadline or without an answer is ended."""
        task, self.task, self.idle = self.task, None, True
        if not self.connection.poll():
            self.kill()
            return task, None, "took longer than its time limit"
        try:
            rows, failure = self.connection.recv()
        except (EOFError, OSError):
            self.process.wait()
            self.kill()
            return task, None, f"the worker process died ({_ending(self.process.returncode)})"
        return task, rows, failure

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()

    def _send(self, message: tuple[str, Any]) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            log.debug("a worker died before it could be given work; its end is handled with its answer")


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


# --- child's side ----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Body of a worker process: load a function, then answer shards until the parent is gone."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=_leave_with, args=(int(sys.argv[2]),), daemon=True).start()
    function: Any = None
    while True:
        try:
            kind, value = connection.recv()
            if kind == "prepare":
                _prepare(*value)
                continue
            if kind == "load":
                function, answer = value, None
            else:
                answer = _checked(function, value)
            connection.send((answer, None))
        except (EOFError, BrokenPipeError):
            return
        except Exception as error:  # the parent decides what a failure means
            with suppress(OSError):  # if the parent was killed meanwhile, the next recv ends this process
                connection.send((None, _reason(error)))


def _prepare(memory: float | None, files: list[str]) -> None:
    if memory is not None:
        import resource

        size = int(memory * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    for path in files:
        if path not in USER_FILES:
            load_user_file(path)


def _leave_with(parent: int) -> None:
    """End this process when the parent has gone, even in the middle of a shard."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
