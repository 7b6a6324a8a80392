"""What a reader hands to the quality gate: one record for each row, file, frame, data block or entry of a source."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal[
    "cif", "poscar", "extxyz", "document", "sites", "formula", "smiles", "selfies", "molblock", "xyz", "conformer"
]
"""How ``Record.content`` is written.

``cif``, ``poscar`` and ``extxyz`` are text, ``formula`` is a chemical formula. ``document`` is a dictionary as
pymatgen or JARVIS writes a structure. ``sites`` is a dictionary with ``cell`` (3, 3) Å, ``frac`` or ``cart`` (A, 3),
``species`` (one ``{symbol: occupancy}`` for each atom) and ``pbc``.

Molecules are text in ``smiles``, ``selfies``, ``molblock`` (an entry of an SDF) and ``xyz`` (a frame without cell), and
a dictionary with ``elements``, ``positions`` (A, 3) Å and ``smiles`` in ``conformer``.
"""

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
"""Spellings of the names of splits."""


@dataclass(frozen=True)
class Record:
    """One row of a source, not judged yet.

    Args:
        row: Number in its file, from 1.
        source: File or address that it comes from.
        format: How ``content`` is written.
        content: The structure or formula.
        id: Name that the source gives it.
        formula: Formula that the source gives beside the structure.
        split: Split that the source names, in its spelling.
        values: Everything else that the source says of it, by column.
        problem: Why there is nothing to judge.
        notes: What the reader repaired.
    """

    row: int
    source: str
    format: Format
    content: str | dict[str, Any] = ""
    id: str | None = None
    formula: str | None = None
    split: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    notes: tuple[str, ...] = ()

    def excerpt(self, length: int = 200) -> str:
        """The beginning of the content, printable, for the quarantine."""
        return re.sub(r"[^\x20-\x7e\xa1-\ud7ff\uf900-\uffef]+", " ", str(self.content)[:length])


def safe_id(text: str) -> str:
    """An id that can also be the name of a file: other characters become underscores, dots do not lead."""
    return re.sub(r"^[.\s]+|[^\w.+\-#()\[\],=@ ]+", "_", text.strip())[:200]


def split_name(text: str | None) -> str | None:
    """``train``, ``val`` or ``test`` where a text is a spelling of one of them, otherwise the text itself."""
    return SPLITS.get(text.strip().lower(), text.strip()) if text else None


def split_of_file(name: str) -> str | None:
    """Split that a file name speaks of, as in ``train.csv.gz`` or ``mp20_val.csv``."""
    words = "".join(c if c.isalpha() else " " for c in name.lower()).split()
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None
