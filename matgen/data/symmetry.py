"""Space group of a structure, for data cards and tables."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import moyopy

if TYPE_CHECKING:
    from pymatgen.core import Structure

# moyo logs a warning for each cell that is not primitive; it concerns its orbits, which are not used here.
logging.getLogger("moyo").setLevel(logging.ERROR)

SYMPREC = 0.01
"""Å; data sets hold relaxed or refined structures."""


def space_group(structure: Structure, symprec: float = SYMPREC) -> int | None:
    """International number of the space group of an ordered structure, None where moyo finds none."""
    cell = moyopy.Cell(
        structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers)
    )
    try:
        return int(moyopy.MoyoDataset(cell, symprec=symprec).number)
    except ValueError:  # moyo's name for every cell in which it finds no symmetry operations
        return None
