"""Space group and crystal system of a structure."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import moyopy
import numpy as np

from matgen.features.distances import shortest_distances

if TYPE_CHECKING:
    from pymatgen.core import Structure

# moyo logs a warning for each cell that is not primitive; its orbits, which that concerns, are not used here.
logging.getLogger("moyo").setLevel(logging.ERROR)

SYMPREC = 0.1
"""Default tolerance in Å: generated structures are not yet relaxed."""

REFINED_SYMPREC = 0.01
"""Å, for data sets, which hold relaxed or refined structures."""

CrystalSystemName = Literal["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]
LAST_OF_SYSTEM: dict[CrystalSystemName, int] = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""Highest space-group number of each crystal system (International Tables for Crystallography A)."""


@dataclass(frozen=True)
class Symmetry:
    """What moyo finds.

    Args:
        space_group: International number.
        n_primitive: Number of atoms in the primitive cell.
        letters: (A,) letter of each atom's Wyckoff position, in the standard setting.
    """

    space_group: int
    n_primitive: int
    letters: tuple[str, ...]


def find_symmetry(structure: Structure, symprec: float = SYMPREC) -> Symmetry | None:
    """Symmetry of an ordered structure, or None where there is no answer.

    That is so where a number is not finite, the cell is degenerate, or two atoms (images included) are closer than
    five tolerances: no symmetry can be told there, and moyo may search until memory is exhausted.

    Args:
        structure: An ordered structure.
        symprec: Tolerance in Å.
    """
    cell, frac = structure.lattice.matrix, structure.frac_coords
    if not np.isfinite(cell).all() or shortest_distances(frac, cell).min() < 5 * symprec:
        return None
    try:
        content = moyopy.Cell(cell.tolist(), frac.tolist(), list(structure.atomic_numbers))
        found = moyopy.MoyoDataset(content, symprec=symprec)
    except ValueError:  # moyo's name for every cell in which it finds no symmetry operations
        return None
    return Symmetry(int(found.number), len(found.prim_std_cell.numbers), tuple(found.wyckoffs))


def space_group_number(structure: Structure, symprec: float = SYMPREC) -> int | None:
    """International number of the space group, None where :func:`find_symmetry` has no answer."""
    found = find_symmetry(structure, symprec)
    return found.space_group if found else None


def occupied_positions(structure: Structure, symprec: float = SYMPREC) -> tuple[int, frozenset[tuple[str, str]]] | None:
    """Space group, and the Wyckoff letters that each element occupies; None as for :func:`space_group_number`."""
    found = find_symmetry(structure, symprec)
    if found is None:
        return None
    symbols = [str(site.specie.symbol) for site in structure]
    return found.space_group, frozenset(zip(symbols, found.letters, strict=True))


@cache
def symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol of a space group."""
    return str(moyopy.SpaceGroupType(number).hm_short).replace(" ", "")


def crystal_system(number: int) -> CrystalSystemName:
    """Crystal system of a space-group number."""
    return next(name for name, last in LAST_OF_SYSTEM.items() if number <= last)
