"""What a run folder holds, read for the report; parts that are not there stay empty and are named as missing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from matgen.data.candidates import ACCEPTED, REJECTED, Candidates
from matgen.data.structures import is_molecule, read_structures
from matgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

RUN, CONFIG, ENVIRONMENT = "run.json", "config.yaml", "environment.json"


class HasFolder(Protocol):
    """A finished run as the workflow returns it."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""


@dataclass(frozen=True)
class Records:
    """The records of one run.

    Args:
        folder: Where they lie.
        candidates: Ranked candidates, best first, and the rejected ones.
        run: ``run.json``: the order and durations of stages.
        config: ``config.yaml`` as data.
        config_text: ``config.yaml`` as it stands.
        environment: ``environment.json``: versions, machine.
    """

    folder: Path
    candidates: Candidates
    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    config_text: str = ""
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """One row a candidate, best first."""
        return self.candidates.table

    @property
    def rejected(self) -> pd.DataFrame:
        """One row a rejected structure."""
        return self.candidates.rejected

    @property
    def noun(self) -> str:
        """What the candidates are: ``molecule`` where all of them are, else ``structure``."""
        structures = [*self.candidates.structures, *self.candidates.rejected_structures]
        return "molecule" if structures and all(map(is_molecule, structures)) else "structure"


def read_records(source: str | os.PathLike[str] | HasFolder) -> Records:
    """Read a run folder.

    Args:
        source: The folder of a run (or of ``candidates.parquet`` alone), or an object with such a ``folder``.

    Raises:
        DataError: There is no such folder, it holds no candidates, or one of its files is damaged.
    """
    folder = Path(source) if isinstance(source, str | os.PathLike) else Path(source.folder)
    if not (folder / ACCEPTED).is_file():
        raise DataError(
            f"no {ACCEPTED} here.", where=str(folder), fix="Give the folder that 'matgen run --out FOLDER' wrote."
        )
    text = _read_text(folder / CONFIG)
    return Records(
        folder=folder,
        candidates=_read_candidates(folder),
        run=_read_json(folder / RUN),
        config=_parse_yaml(text, folder / CONFIG),
        config_text=text,
        environment=_read_json(folder / ENVIRONMENT),
    )


def _read_candidates(folder: Path) -> Candidates:
    table, structures = _read_part(folder / ACCEPTED, ("id",))
    candidates = Candidates(table, structures)
    if (folder / REJECTED).is_file():
        candidates = Candidates(table, structures, *_read_part(folder / REJECTED, ("id", "stage", "reason")))
    return candidates.order_by("rank") if "rank" in table else candidates


def _read_part(path: Path, needed: tuple[str, ...]) -> tuple[pd.DataFrame, list[Structure]]:
    table, structures = read_structures(path)
    if lacking := [name for name in needed if name not in table]:
        raise DataError(f"no column {', '.join(lacking)}.", where=str(path), fix="A run of matgen writes it.")
    return table, structures


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_json(path: Path) -> dict[str, Any]:
    text = _read_text(path)
    try:
        value = json.loads(text) if text else {}
    except ValueError as error:
        raise DataError(f"unreadable JSON: {error}", where=str(path)) from error
    return value if isinstance(value, dict) else {}


def _parse_yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise DataError(f"unreadable YAML: {error}", where=str(path)) from error
    return value if isinstance(value, dict) else {}
