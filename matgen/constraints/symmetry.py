"""Space group and crystal system of a structure, and the wish for one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import moyopy
import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.distances import shortest_distances
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

# moyo logs a warning for each cell that is not primitive; its orbits, which that concerns, are not used here.
logging.getLogger("moyo").setLevel(logging.ERROR)

SYMPREC = 0.1
"""Default tolerance in Å: generated structures are not yet relaxed."""

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
    """

    space_group: int
    n_primitive: int


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
    return Symmetry(int(found.number), len(found.prim_std_cell.numbers))


def space_group_number(structure: Structure, symprec: float = SYMPREC) -> int | None:
    """International number of the space group, None where :func:`find_symmetry` has no answer."""
    found = find_symmetry(structure, symprec)
    return found.space_group if found else None


@cache
def symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol of a space group."""
    return str(moyopy.SpaceGroupType(number).hm_short).replace(" ", "")


def crystal_system(number: int) -> CrystalSystemName:
    """Crystal system of a space-group number."""
    return next(name for name, last in LAST_OF_SYSTEM.items() if number <= last)


@CONSTRAINTS.register("space_group")
@dataclass(frozen=True)
class SpaceGroup(Constraint):
    """The structure has one of the wanted space groups. The score is its number, 0 where none could be found.

    Args:
        numbers: International numbers, 1 to 230.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "space_group"

    numbers: tuple[int, ...]
    symprec: float = SYMPREC

    def __post_init__(self) -> None:
        if not self.numbers or not all(1 <= n <= 230 for n in self.numbers) or self.symprec <= 0:
            raise ConfigError(
                f"numbers={self.numbers}, symprec={self.symprec}.",
                where=self.name,
                fix="Give numbers from 1 to 230 and a positive tolerance.",
            )

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the space group is among the wanted ones."""
        found = [space_group_number(s, self.symprec) or 0 for s in structures]
        wanted = " or ".join(f"{symbol(n)} ({n})" for n in self.numbers)
        return Verdict.of(found, [None if n in self.numbers else f"{self._name(n)}, wanted {wanted}" for n in found])

    def _name(self, number: int) -> str:
        if not number:
            return "no space group could be found"
        return f"the space group is {symbol(number)} ({number}) at {self.symprec:g} Å"


@CONSTRAINTS.register("crystal_system")
@dataclass(frozen=True)
class CrystalSystem(Constraint):
    """The structure belongs to one of the wanted crystal systems. The score is its space-group number, or 0.

    Args:
        systems: Names, for example ``cubic``.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "crystal_system"

    systems: tuple[CrystalSystemName, ...]
    symprec: float = SYMPREC

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the crystal system is among the wanted ones."""
        found = [space_group_number(s, self.symprec) or 0 for s in structures]
        return Verdict.of(found, [self._reason(n) for n in found])

    def _reason(self, number: int) -> str | None:
        if not number:
            return "no space group could be found"
        system = crystal_system(number)
        if system in self.systems:
            return None
        return f"the crystal is {system} ({symbol(number)} at {self.symprec:g} Å), wanted {' or '.join(self.systems)}"
