"""The ledger of shards: what is ready, running or done, on disk, whatever is killed and whenever.

A shard is known by its content id. Its result is one file of JSON lines named by that id, written whole and carrying
its own checksum; the ledger's row is changed after it. So a row may lag behind a file, never run ahead of it, and a
ledger that was lost is rebuilt from the files.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import platform
import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matgen.errors import ConfigError
from matgen.runtime import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matgen.execution import Row

log = logging.getLogger(__name__)

HEARTBEAT = 20.0
"""Seconds between two signs of life of whoever runs a shard; a lease lasts one and a half of them."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    items INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'done')),
    owner TEXT,
    lease REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""

_CLAIM = """
UPDATE shards SET state = 'running', owner = :owner, lease = :until, attempts = attempts + 1
WHERE key = :key AND (state = 'ready' OR (state = 'running' AND lease < :now)) RETURNING key
"""

DATABASE = "ledger.sqlite"

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "pvfs2", "9p"}
    | {"glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"}
)


@dataclass
class Ledger:
    """Shards of one folder. Several processes of one host may use it at once; each opens its own.

    Args:
        folder: Holds ``ledger.sqlite`` and the result files.
        heartbeat: Seconds between two signs of life of a running shard.
        network: Accept a network file system, where SQLite's locks are known to fail.
        attached: The parent process has opened and checked the folder already.

    Raises:
        ConfigError: The folder lies on a network file system.
    """

    folder: Path
    heartbeat: float = HEARTBEAT
    network: bool = False
    attached: bool = False

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.owner = _identity()
        if not self.attached:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.network:
                refuse_network(self.folder)
        self._database = _connect(self.folder / DATABASE) if self.attached else self._open()

    def register(self, shards: Iterable[tuple[str, str, int]]) -> None:
        """Enter shards (key, name, number of items) that are not known yet, as ready."""
        with _transaction(self._database):
            self._database.executemany("INSERT OR IGNORE INTO shards (key, name, items) VALUES (?, ?, ?)", shards)

    def result(self, key: str) -> list[Row] | None:
        """The result of a registered shard, or None if it is still to be had; a lagging or false state is put right."""
        done = self._state(key) == "done"  # asked before the file is read, which another process may just be writing
        rows = self._read(key)
        if rows is not None and not done:
            self._set(key, "done")
        if rows is None and done:
            self._set(key, "ready")
        return rows

    def states(self) -> dict[str, str]:
        """The state of each shard by key."""
        return dict(self._database.execute("SELECT key, state FROM shards").fetchall())

    def attempts(self) -> dict[str, int]:
        """How often each shard was begun, by key."""
        return dict(self._database.execute("SELECT key, attempts FROM shards").fetchall())

    def claim(self, key: str) -> bool:
        """Take a shard that is ready, or whose owner's lease has run out; True for exactly one of many callers."""
        now = time.time()
        values = {"key": key, "owner": self.owner, "now": now, "until": now + 1.5 * self.heartbeat}
        return bool(self._database.execute(_CLAIM, values).fetchall())

    @contextmanager
    def lease(self, key: str) -> Iterator[bool]:
        """Claim a shard and keep the claim alive inside the block; yields whether the claim was had."""
        if not self.claim(key):
            yield False
            return
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(key, stop), daemon=True)
        beating.start()
        try:
            yield True
        except BaseException:
            self._set(key, "ready")
            raise
        finally:
            stop.set()
            beating.join()

    def finish(self, key: str, rows: Sequence[Row]) -> None:
        """Write a shard's result whole, then mark it done. Equal keys have equal results, so any writer will do."""
        body = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        head = json.dumps({"key": key, "rows": len(rows), "checksum": _checksum(body)})
        with whole_file(self._path(key)) as temporary:
            temporary.write_text(f"{head}\n{body}", encoding="utf-8")
        self._set(key, "done")

    def release_dead(self) -> int:
        """Make the shards ready whose owners on this host are no longer alive; returns how many."""
        running = self._database.execute("SELECT key, owner FROM shards WHERE state = 'running'").fetchall()
        dead = [(key, owner) for key, owner in running if not _may_live(owner)]
        with _transaction(self._database):
            self._database.executemany("UPDATE shards SET state = 'ready' WHERE key = ? AND owner = ?", dead)
        return len(dead)

    def close(self) -> None:
        """Close the database; unfinished claims of this process stay until it ends or their leases do."""
        self._database.close()

    def _state(self, key: str) -> str:
        return str(self._database.execute("SELECT state FROM shards WHERE key = ?", (key,)).fetchall()[0][0])

    def _read(self, key: str) -> list[Row] | None:
        try:
            head, _, body = self._path(key).read_text(encoding="utf-8").partition("\n")
            facts = json.loads(head)
            whole = isinstance(facts, dict) and facts.get("key") == key and facts.get("checksum") == _checksum(body)
        except FileNotFoundError:
            return None
        except ValueError:  # cut in the head, or inside a multi-byte character
            whole = False
        if not whole:
            log.warning("the result file %s is damaged; its shard is done again", self._path(key).name)
            return None
        return [json.loads(line) for line in body.splitlines()]

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.jsonl"

    def _set(self, key: str, state: str) -> None:
        self._database.execute("UPDATE shards SET state = ? WHERE key = ?", (state, key))

    def _beat(self, key: str, stop: threading.Event) -> None:
        while not stop.wait(self.heartbeat):
            until = time.time() + 1.5 * self.heartbeat
            try:
                with closing(_connect(self.folder / DATABASE)) as own:  # a connection belongs to one thread
                    own.execute("UPDATE shards SET lease = ? WHERE key = ? AND owner = ?", (until, key, self.owner))
            except sqlite3.Error as error:  # at worst the lease runs out and the shard is done twice
                log.warning("no sign of life could be given for a shard: %s", error)

    def _open(self) -> sqlite3.Connection:
        path = self.folder / DATABASE
        with _exclusive(self.folder / "ledger.lock"):
            try:
                return _prepared(path)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # locked, full or unwritable: not damaged
                    raise
                log.warning("the ledger is damaged (%s); it is rebuilt from the result files", error)
                for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                    part.unlink(missing_ok=True)
                return _prepared(path)


def refuse_network(folder: Path) -> None:
    """Raise a ConfigError if a folder lies on a network file system (known on Linux only)."""
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigError(
            f"the run would lie on a network file system ({kind}), where SQLite's locks cannot be trusted.",
            where=str(folder),
            fix="Use a local folder with --out, or set 'network_folder: true' if one host alone works on it.",
        )


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Kind of the file system on which a folder lies, or None where the system does not tell."""
    if not mounts.is_file():
        return None
    target, best, kind = folder.resolve(), -1, None
    for line in mounts.read_text(errors="replace").splitlines():
        _, point, found, *_ = line.split(" ")
        mount = Path(point.replace("\\040", " "))
        if (target == mount or mount in target.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), found
    return kind


def _prepared(path: Path) -> sqlite3.Connection:
    database = _connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        database.execute(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    # Opening, checking and replacing a database must not be interleaved between processes.
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checksum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _identity() -> str:
    return f"{platform.node()}/{os.getpid()}/{_born(os.getpid())}"


def _may_live(owner: str) -> bool:
    """False only for an owner on this host whose process is certainly gone."""
    host, pid, born = owner.rsplit("/", 2)
    if host != platform.node():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _born(int(pid)) == born


def _born(pid: int) -> str:
    """Start time of a process in clock ticks since boot, so that a reused pid is told apart; ``-`` if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"
