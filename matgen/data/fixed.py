"""Parts of a crystal that a request gives: atoms in their places, the cell, or both.

Shapes: F fixed atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

Row = tuple[float, float, float]


@dataclass(frozen=True)
class Fixed:
    """What is given of a crystal; the rest is for the generator.

    Args:
        numbers: (F,) atomic numbers of the fixed atoms.
        frac: (F, 3) their fractional coordinates.
        cell: Rows of the cell in Å; None where it is free, and the atoms are fixed relative to it.
    """

    numbers: tuple[int, ...] = ()
    frac: tuple[Row, ...] = ()
    cell: tuple[Row, Row, Row] | None = None

    def __post_init__(self) -> None:
        # Lists, as JSON brings them, become tuples.
        object.__setattr__(self, "numbers", tuple(int(z) for z in self.numbers))
        object.__setattr__(self, "frac", tuple(tuple(float(x) for x in row) for row in self.frac))
        if self.cell is not None:
            object.__setattr__(self, "cell", tuple(tuple(float(x) for x in row) for row in self.cell))
        if len(self.numbers) != len(self.frac) or not all(1 <= z <= 118 for z in self.numbers):
            raise ConfigError("elements and coordinates of the fixed atoms do not fit together.", where="fixed")
        if not self.numbers and self.cell is None:
            raise ConfigError("neither atoms nor the cell are fixed.", where="fixed", fix="Fix one of them.")

    @classmethod
    def of(cls, structure: Structure, sites: Sequence[int] | None = None, *, cell: bool = True) -> Fixed:
        """Atoms and cell of a structure.

        Args:
            structure: An ordered crystal.
            sites: Indices of the atoms that are fixed; all where not given, none where empty.
            cell: Whether the cell is fixed.

        Raises:
            ConfigError: A site that the structure does not have.
        """
        chosen = range(len(structure)) if sites is None else sites
        if wrong := [i for i in chosen if not 0 <= i < len(structure)]:
            raise ConfigError(
                f"there is no site {wrong[0]}.", where="fixed", fix=f"Sites are counted from 0 to {len(structure) - 1}."
            )
        return cls(
            tuple(structure[i].specie.Z for i in chosen),
            tuple(tuple(structure[i].frac_coords) for i in chosen),
            tuple(tuple(row) for row in structure.lattice.matrix) if cell else None,  # type: ignore[arg-type]
        )


def read_fixed(path: str | Path, sites: str | None = None, *, cell: bool = True) -> Fixed:
    """What is fixed of the only structure in a file.

    Args:
        path: A structure file.
        sites: Such as ``0-3,7``, or ``none``; all atoms where not given.
        cell: Whether the cell is fixed.

    Raises:
        ConfigError: Several structures, or sites that cannot be read.
    """
    from matgen.data.structures import read_structures

    _, structures = read_structures(path)
    if len(structures) != 1:
        raise ConfigError(f"{len(structures)} structures.", where=str(path), fix="Give a file with one structure.")
    return Fixed.of(structures[0], None if sites is None else parse_sites(sites), cell=cell)


def parse_sites(text: str) -> list[int]:
    """Indices in a text such as ``0-3,7`` or ``none``."""
    if text.strip() == "none":
        return []
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ConfigError(f"{part.strip()!r} names no sites.", where="fixed", fix="Write for example 0-3,7.")
        found += range(int(first), int(last or first) + 1)
    return found
