"""A stage of a run: what it does, what it depends on, and where it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from matgen.data.candidates import ACCEPTED, REJECTED, Candidates
from matgen.runtime import content_id, file_id

if TYPE_CHECKING:
    from pathlib import Path

    from matgen.execution import Executor

Facts = Mapping[str, Any]
"""What a stage reports besides its files: plain JSON values, for ``stage.json`` and the report's protocol."""


@dataclass(frozen=True)
class Workspace:
    """Where a stage works.

    Args:
        folder: Empty folder for what it makes; it gets its final name only when the stage is done.
        done: Folder of each earlier stage, by name.
        executor: Where long loops run.
        run: Folder of the run.
        unfinished: Folder that outlives a kill, for work that can go on by itself, such as a training; it may not
            exist yet, and goes when the stage is done.
    """

    folder: Path
    done: Mapping[str, Path]
    executor: Executor
    run: Path
    unfinished: Path

    def candidates(self, stage: str) -> Candidates:
        """The candidates that an earlier stage left."""
        return Candidates.read(self.done[stage])


@dataclass(frozen=True)
class Stage:
    """One step of a workflow, done once and kept until something it depends on changes.

    Args:
        place: Number in its folder's name; the same in every run of the workflow, whichever stages take part.
        name: What it is called in folders, the funnel and messages.
        work: Makes the files of the stage and returns facts about them.
        settings: The part of the configuration on which its result depends, as plain values.
        after: Names of the stages whose results it reads.
        reads: Those among them whose files the workers read by themselves.
        files: Files and folders outside the run that it reads.
        version: Raised when the code changes its results.
    """

    place: int
    name: str
    work: Callable[[Workspace], Facts]
    settings: Any = None
    after: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())
    version: int = 1

    @property
    def folder(self) -> str:
        """Name of its folder in the run."""
        return f"{self.place:02d}-{self.name}"

    def fingerprint(self, before: Mapping[str, str]) -> str:
        """Identifies the result: equal settings, inputs and code give equal fingerprints.

        Args:
            before: Fingerprint of each earlier stage, by name.
        """
        inputs = {name: before[name] for name in self.after}
        return content_id(self.name, self.version, self.settings, inputs, self.contents, length=16)

    def scope(self, before: Mapping[str, str]) -> str:
        """Identifies all that the results of its shards depend on besides their items.

        Args:
            before: Fingerprint of each earlier stage, by name.
        """
        return content_id(self.name, self.version, [before[name] for name in self.reads], self.contents, length=16)

    @cached_property
    def contents(self) -> list[str]:
        """Hashes of what its files hold."""
        return [contents(path) for path in self.files]


def contents(path: Path) -> str:
    """Hash of what a file holds, or of the names and contents of all files in a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return content_id([[str(file.relative_to(path)), file_id(file)] for file in files])
    return file_id(path)


def count(folder: Path) -> dict[str, int]:
    """How many candidates a stage's folder holds, and how many were rejected so far; empty if it holds none."""
    if not (folder / ACCEPTED).is_file():
        return {}
    from pyarrow.parquet import read_metadata

    return {"kept": read_metadata(folder / ACCEPTED).num_rows, "rejected": read_metadata(folder / REJECTED).num_rows}
