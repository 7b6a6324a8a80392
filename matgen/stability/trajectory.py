"""The ways of relaxations as files that every viewer reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.runtime import content_id, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates


def write_trajectories(
    folder: str | Path, candidates: Candidates, frames: Sequence[Sequence[Mapping[str, Any]]]
) -> list[Path]:
    """Write one extended XYZ file for each candidate that has frames; each frame carries its energy and largest force.

    Args:
        folder: Where the files go; made if need be.
        candidates: S candidates.
        frames: S sequences of :class:`matgen.stability.batched.Frame` as mappings.

    Returns:
        The files, named by id; characters that no file name should have are replaced.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for name, structure, way in zip(candidates.table["id"], candidates.structures, frames, strict=True):
        if way:
            path = Path(folder) / f"{file_name(str(name))}.extxyz"
            _write(path, str(name), structure, way)
            written.append(path)
    return written


def file_name(name: str) -> str:
    """A file name for an id; an id with other characters than letters, digits and ``.+-_`` gets a hash as well."""
    safe = re.sub(r"[^A-Za-z0-9.+_-]", "_", name).lstrip(".") or "_"
    return safe if safe == name else f"{safe}-{content_id(name, length=6)}"


def _write(path: Path, name: str, structure: Structure, way: Sequence[Mapping[str, Any]]) -> None:
    from ase import Atoms
    from ase.io import write

    steps = []
    for step, frame in enumerate(way):
        places, cell = np.reshape(frame["frac"], (-1, 3)), np.reshape(frame["cell"], (3, 3))
        atoms = Atoms(structure.atomic_numbers, scaled_positions=places, cell=cell, pbc=True)
        atoms.info = {"id": name, "step": step, "energy_per_atom": frame["energy"], "fmax": frame["fmax"]}
        steps.append(atoms)
    with whole_file(path) as temporary:
        write(temporary, steps, format="extxyz")
