"""A data set on disk: one table of judged structures or formulas, what was refused, and its card."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.property import PROPERTIES, Property, declare
from matgen.data.structures import SMILES, STRUCTURE_COLUMNS, unpack
from matgen.errors import DataError
from matgen.runtime import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

STRUCTURES, QUARANTINE, CARD, CARD_TEXT = "structures.parquet", "quarantine.parquet", "card.json", "card.md"


@dataclass
class Dataset:
    """Kept rows with their structures, refused rows with their reasons, and the card.

    Args:
        table: One row a structure or formula: ``id``, ``source_id``, ``source``, ``row`` (number in the source),
            ``formula``, ``split``, the properties, and for structures ``n_atoms``, ``space_group`` and ``group``
            (rows of one group resemble each other and belong into one split).
        packed: Structure columns, one row for each row of ``table``; None where there are formulas alone.
        quarantine: Refused rows: ``row``, ``source``, ``source_id``, ``stage``, ``reason``, ``raw``.
        card: What :mod:`matgen.data.card` says of it.
        path: Where it lies, if it does.
        cached: Whether ``ingest`` found it already made.
    """

    table: pd.DataFrame
    packed: pd.DataFrame | None
    quarantine: pd.DataFrame
    card: dict[str, Any] = field(repr=False)
    path: Path | None = None
    cached: bool = False

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def structures(self) -> list[Structure]:
        """The structures, in the order of the table; molecules without a geometry are laid out flat."""
        if SMILES in self.table:
            if self.packed is not None:
                return unpack(pd.concat([self.packed, self.table[[SMILES]]], axis=1))
            from matgen.data.molecules import sketch

            return [sketch(smiles) for smiles in self.table[SMILES]]
        if self.packed is None:
            raise DataError("this data set holds formulas without structures.", where=str(self.path or ""))
        return unpack(self.packed)

    @property
    def properties(self) -> dict[str, Property]:
        """The properties that its table holds, by name."""
        return {name: PROPERTIES[name] for name in self.card["properties"]}

    @property
    def fingerprint(self) -> str:
        """Hash of the kept rows: equal content gives equal fingerprints, wherever it came from."""
        return str(self.card["fingerprint"])

    def rows(self, positions: Sequence[int] | np.ndarray) -> Dataset:
        """The rows at some positions, as a data set in memory with the same card."""
        packed = None if self.packed is None else self.packed.iloc[positions].reset_index(drop=True)
        return Dataset(self.table.iloc[positions].reset_index(drop=True), packed, self.quarantine, self.card)

    def part(self, split: str) -> Dataset:
        """The rows of one split, as a data set in memory with the same card.

        Raises:
            DataError: There is no such split.
        """
        positions = np.flatnonzero((self.table["split"] == split).to_numpy(dtype=bool))
        if not len(positions):
            known = ", ".join(sorted(map(str, self.table["split"].dropna().unique()))) or "none"
            raise DataError(
                f"no rows of the split {split!r}; splits: {known}.",
                where=str(self.path or ""),
                fix="Make splits with 'matgen data split'.",
            )
        return self.rows(positions)

    def write(self, path: str | Path) -> None:
        """Write the folder whole or not at all; a data set that lies there already is replaced."""
        from matgen.data.card import markdown

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            whole = self.table if self.packed is None else pd.concat([self.table, self.packed], axis=1)
            whole.to_parquet(temporary / STRUCTURES, index=False)
            self.quarantine.to_parquet(temporary / QUARANTINE, index=False)
            write_text(temporary / CARD_TEXT, markdown(self.card))
            write_json(temporary / CARD, self.card)
            temporary.chmod(0o755)
            _put(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Open a folder that :meth:`write` made; its properties become known by their names.

        Raises:
            DataError: There is no data set, or its files do not fit each other.
        """
        path = Path(path)
        card = read_card(path)
        try:
            whole, quarantine = pd.read_parquet(path / STRUCTURES), pd.read_parquet(path / QUARANTINE)
        except Exception as error:  # pyarrow raises several unrelated types
            raise DataError(f"unreadable data set ({error}).", where=str(path), fix="Ingest it again.") from error
        if len(whole) != card["rows"]["kept"]:
            raise DataError("the card and the table have different numbers of rows.", where=str(path))
        for name, about in card["properties"].items():
            if name not in PROPERTIES:
                declare(Property(name, about["label"], about["unit"]))
        holds = set(STRUCTURE_COLUMNS) <= set(whole.columns)
        packed = whole[list(STRUCTURE_COLUMNS)] if holds else None
        return cls(whole.drop(columns=[c for c in STRUCTURE_COLUMNS if c in whole]), packed, quarantine, card, path)


def read_card(path: Path) -> dict[str, Any]:
    """The card of a data set, or a DataError that says why there is none."""
    if not (path / CARD).is_file():
        raise DataError(
            "no data set here.", where=str(path), fix="Make one with 'matgen data ingest SOURCE --out PATH'."
        )
    try:
        card: dict[str, Any] = json.loads((path / CARD).read_text(encoding="utf-8"))
        _ = (card["rows"]["kept"], card["properties"], card["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"no card of a data set ({error}).", where=str(path / CARD)) from error
    return card


def content_fingerprint(table: pd.DataFrame, packed: pd.DataFrame | None) -> str:
    """Hash of ids, formulas, splits, properties and structures."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(set(table.columns) - {"source", "row", "notes", "flags"}):
        column = table[name]
        digest.update(f"{name}:{len(column)}:".encode())
        if pd.api.types.is_float_dtype(column):
            digest.update(column.to_numpy(dtype="<f8").tobytes())
        else:
            digest.update(json.dumps(column.astype(object).where(column.notna(), None).tolist(), default=str).encode())
    for name in STRUCTURE_COLUMNS if packed is not None else ():
        for values in packed[name] if packed is not None else ():
            digest.update(np.asarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def _put(made: Path, path: Path) -> None:
    """Give a finished folder its name; an older one of that name makes room first."""
    if not path.exists():
        made.replace(path)
        return
    old = made.with_name(f"{made.name}.old")
    path.replace(old)
    made.replace(path)
    shutil.rmtree(old, ignore_errors=True)
