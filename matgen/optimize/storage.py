"""Where a study lives: memory, SQLite, PostgreSQL or a journal file; and what becomes of trials whose process died."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from matgen.errors import ConfigError
from matgen.optimize.transactions import FewTransactions, sent
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from matgen.optimize.aims import Aim

log = logging.getLogger(__name__)

CLAIM, RETRY = "claim", "retry_of"
"""User attributes of a trial: which process evaluates it and whether that is settled; the lost trial it repeats."""

HEARTBEAT = 30
"""Seconds between the signs of life of a running trial in a database."""

PATIENCE = 4
"""Signs of life that may fail to come before a trial counts as lost."""

JOURNALS = (".journal", ".log", ".jsonl")


SEARCH = "search"
"""User attribute of a study: identifies what is searched, so that another search is not mixed in."""


def open_storage(where: str | Path | BaseStorage | None, heartbeat: int = HEARTBEAT) -> BaseStorage | None:
    """The storage that a user names.

    Args:
        where: An address such as ``postgresql://user@host/base`` or ``sqlite:///study.db``; the path of an SQLite
            database (``.db``) or of a journal (``.journal``); an Optuna storage; or nothing, for memory.
        heartbeat: Seconds between signs of life, in databases.

    Raises:
        ConfigError: The address cannot be understood or reached.
        MissingPackageError: The database's driver is not installed.
    """
    if where is None or not isinstance(where, str | Path):
        return where
    text = str(where)
    if text.startswith("postgresql://"):
        require("psycopg", "search")
        text = text.replace("postgresql://", "postgresql+psycopg://", 1)
    if "://" in text:
        return _database(text, heartbeat)
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in JOURNALS:
        return _journal(path)
    if path.suffix != ".db":
        fix = "End it in .db (SQLite) or .journal, or give an address such as postgresql://host/base."
        raise ConfigError("this kind of storage is not known.", where=text, fix=fix)
    return _database(f"sqlite:///{path}", heartbeat)


def opened(store: BaseStorage | None, name: str, aims: Sequence[Aim], identity: str) -> optuna.Study:
    """The study called ``name``, new or as it was left; that of another search is refused."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=store, study_name=name, directions=[aim.direction for aim in aims], load_if_exists=True
        )
    except ValueError as error:
        raise ConfigError(f"the study {name!r} cannot be opened: {error}.", where="storage") from error
    known = study.user_attrs.get(SEARCH)
    if known not in (None, identity):
        raise ConfigError(
            f"the study {name!r} belongs to another search.", where="storage", fix="Give another name or storage."
        )
    if known is None:
        study.set_user_attr(SEARCH, identity)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([aim.label for aim in aims])
    return study


def owner() -> str:
    """This process, as other processes and machines may know it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def recover(study: optuna.Study) -> int:
    """Fail the trials whose process is gone and queue them again; returns how many of this host there were.

    A process of this host is known to be gone at once, one of another by its missing signs of life.
    """
    lost = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if _is_orphan(t)]
    for trial in lost:
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            continue  # another process was quicker
        _queue_again(study, trial)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    return len(lost)


def retries(study: optuna.Study) -> int:
    """How many trials of lost processes wait to be taken up again."""
    return sum(RETRY in t.user_attrs for t in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def patience(study: optuna.Study) -> float:
    """Seconds for which it is worth waiting for trials that other processes have in work, 0 where there are none.

    Within that time a process that died is known to be gone, and its trials are queued again.
    """
    interval = getattr(study._storage, "get_heartbeat_interval", lambda: None)()
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    claimed = any(CLAIM in t.user_attrs for t in running)  # nobody waits for what died before it had a candidate
    return float(2 * PATIENCE * interval) if interval and claimed else 0.0


@contextmanager
def alive(study: optuna.Study, trials: Sequence[optuna.Trial]) -> Iterator[None]:
    """Give signs of life for running trials while the block runs, where the storage takes them."""
    sent(study)
    storage = study._storage
    interval = getattr(storage, "get_heartbeat_interval", lambda: None)()
    if interval is None or not trials:
        yield
        return
    stop = threading.Event()

    def beat() -> None:
        while True:
            for trial in trials:
                storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
            if stop.wait(interval):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _database(address: str, heartbeat: int) -> FewTransactions:
    from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError

    for wait in (0.1, 0.2, 0.4, 0.8, 1.6, None):
        try:
            return FewTransactions(_connected(address, heartbeat))
        except (ProgrammingError, IntegrityError):
            if wait is None:
                raise
            time.sleep(wait)  # processes that start together all make the tables; those that come second fail once
        except (ArgumentError, OperationalError) as error:
            said = " ".join(str(error).split("\n")[0].split())
            what = f"the database cannot be reached: {said}."
            raise ConfigError(what, where="storage", fix="Check the address.") from error
    raise AssertionError("unreachable")


def _connected(address: str, heartbeat: int) -> RDBStorage:
    settings: dict[str, Any] = {"pool_pre_ping": True}
    if address.startswith("sqlite"):
        settings["connect_args"] = {"timeout": 60}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            address,
            engine_kwargs=settings,
            heartbeat_interval=heartbeat,
            grace_period=PATIENCE * heartbeat,
            heartbeat_stale_trial_callback=_queue_again,
        )
    if address.startswith("sqlite"):
        _write_ahead(storage)
    return storage


def _write_ahead(storage: RDBStorage) -> None:
    """Let SQLite append to a log instead of flushing twice for each of the many small writes of a trial."""
    from sqlalchemy import event

    def prepare(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", prepare)
    storage.engine.dispose()


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    log.warning("trial %d was lost with its process; it is queued again", trial.number)
    study.enqueue_trial(trial.params, user_attrs={RETRY: trial.number})


def _journal(path: Path) -> JournalStorage:
    lock = JournalFileOpenLock(str(path))
    if path.exists():
        lock.acquire()
        try:
            _mend(path)
        finally:
            lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def _mend(path: Path) -> None:
    """Cut off a last line that a killed process left half-written; the next line would be lost with it."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        log.warning("%s: the last line was half-written by a killed process and is dropped", path)
        with path.open("r+b") as file:
            file.truncate(whole)


def _is_orphan(trial: FrozenTrial) -> bool:
    host, _, process = str(trial.user_attrs.get(CLAIM, {}).get("owner", "")).rpartition(":")
    if host != socket.gethostname() or not process.isdigit() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
