"""The folder of a run: one writer at a time, stages that are whole or absent, a log, and the record of it all."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from matgen.errors import ConfigError, MatgenError
from matgen.runtime import file_id, versions, workers, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matgen.workflow.stage import Stage

CONFIG, RECORD, ENVIRONMENT, LOG, LOCK = "config.yaml", "run.json", "environment.json", "run.log", ".lock"
PRODUCED = ("candidates", "rejected", "report")
"""How the names of products begin."""

STAGE, LEDGER, UNFINISHED = "stage.json", "ledger", "unfinished"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes a run's folder.

    Args:
        path: Where it lies.
    """

    path: Path

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder if need be, and hold it against other processes and log into it inside the block.

        Raises:
            ConfigError: Another process works on this run, or the folder holds something else than a run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError("this is a file.", where=str(self.path), fix="Give a folder with --out.")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / LOCK).exists():
            fix = "Give a new or empty folder with --out."
            raise ConfigError("this folder holds other things than a run.", where=str(self.path), fix=fix)
        self.path.mkdir(parents=True, exist_ok=True)
        with self._locked(), self._logged(), _disk_errors(self.path):
            self._sweep()
            yield

    def begin(self, config: str) -> None:
        """Write the resolved configuration and the environment; tell where the latter has changed."""
        found: dict[str, Any] = {**versions(), "cores": workers(), "written": _now()}
        before = self._read(ENVIRONMENT)
        changed = [f"{k} {before[k]} -> {v}" for k, v in found.items() if k != "written" and before.get(k, v) != v]
        if changed:
            log.warning("the environment has changed since this run was begun: %s", ", ".join(changed))
        write_json(self.path / ENVIRONMENT, found)
        write_text(self.path / CONFIG, config)

    def finished(self, stage: Stage, fingerprint: str) -> dict[str, Any] | None:
        """The record of a stage that was done with this fingerprint and whose files are whole, else None."""
        folder = self.path / stage.folder
        record = self._read(f"{stage.folder}/{STAGE}")
        if not record:
            return None
        if record.get("fingerprint") != fingerprint:
            log.info("%s: what it depends on has changed", stage.folder)
            return None
        if record.get("files") != _files(folder):
            log.warning("%s: its files are not as they were written", stage.folder)
            return None
        return record

    def record(self, value: dict[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.path / RECORD, value)

    def read_record(self) -> dict[str, Any]:
        """What ``run.json`` says; empty if there is none."""
        return self._read(RECORD)

    @contextmanager
    def part(self, stage: Stage) -> Iterator[Path]:
        """A new folder for a stage to work in; :meth:`keep` gives it its name, a failure removes it."""
        folder = self.path / f".{stage.folder}.part"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, part: Path, stage: Stage, record: dict[str, Any]) -> dict[str, Any]:
        """Give a finished stage's folder its name, in place of an older one."""
        record = {"stage": stage.name, **record, "finished": _now(), "files": _files(part)}
        write_json(part / STAGE, record)
        _flush_tree(part)
        final, old = self.path / stage.folder, self.path / f".{stage.folder}.old.part"
        if final.exists():
            final.rename(old)
        part.rename(final)
        _flush(self.path)
        shutil.rmtree(old, ignore_errors=True)
        return record

    def _sweep(self) -> None:
        """Remove what a killed process had begun: parts of stages, and files without their final name."""
        for part in self.path.glob(".*.part"):
            shutil.rmtree(part)
        begun = [self.path.glob(f".{name}.*") for name in (*PRODUCED, CONFIG, RECORD, ENVIRONMENT)]
        for left in chain(*begun, (self.path / LEDGER).glob(".*")):
            left.unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / LOCK).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ConfigError(
                    f"another process ({file.read().strip() or 'unknown'}) works on this run.",
                    where=str(self.path),
                    fix="Wait for it, or give another folder with --out.",
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} since {_now()}")
            file.flush()
            yield

    @contextmanager
    def _logged(self) -> Iterator[None]:
        handler = logging.FileHandler(self.path / LOG, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("matgen")
        level = logger.level
        logger.setLevel(min(level or logging.INFO, logging.INFO))
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            handler.close()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full or broken."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}:
            raise
        fix = "Make room or repair the disk; the same command goes on from here."
        raise MatgenError(f"a file could not be written: {error.strerror}.", where=str(path), fix=fix) from error


def _files(folder: Path) -> dict[str, str]:
    """Hash of each file in a stage's folder, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / STAGE)
    return {str(path.relative_to(folder)): file_id(path) for path in files}


def _flush_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
