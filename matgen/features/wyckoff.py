"""Wyckoff positions of the 230 space groups, in the standard setting of International Tables.

Letters, multiplicities, site symmetries and coordinates are those of International Tables for Crystallography A, read
from moyo by :mod:`matgen.features.wyckoff_building`; monoclinic groups have the unique axis b, rhombohedral ones
hexagonal axes, centrosymmetric ones with two origins the second. Shapes: O operations, M atoms of an orbit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path

import moyopy
import numpy as np

TABLE = Path(__file__).with_name("wyckoff_positions.json")

Row = tuple[str, int, str, str]
"""Letter, multiplicity in the conventional cell, site symmetry, coordinates such as ``x,2x,1/4``."""

SAME = 1e-4
"""Fractional coordinates this close are one point."""

_TERM = re.compile(r"([+-]?)(\d+(?:/\d+)?)?\*?([xyz]?)")


@dataclass(frozen=True)
class Position:
    """A Wyckoff position.

    Args:
        group: Number of the space group.
        letter: ``a`` to ``z``, then ``A``.
        multiplicity: Atoms in the primitive cell.
        site_symmetry: Symbol of the point group that leaves a site in place, oriented.
        coordinates: Of the first site.
    """

    group: int
    letter: str
    multiplicity: int
    site_symmetry: str
    coordinates: str

    @cached_property
    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (3, 3) and offset (3,): the first site from x, y, z, in the conventional cell."""
        rows = [_linear(text) for text in self.coordinates.split(",")]
        return np.array([row[:3] for row in rows]), np.array([row[3] for row in rows])

    @cached_property
    def free(self) -> tuple[int, ...]:
        """Which of x, y, z can be chosen."""
        return tuple(int(k) for k in np.flatnonzero(np.abs(self.affine[0]).sum(axis=0)))

    @cached_property
    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrices (M, 3, 3) and offsets (M, 3): all sites in the primitive cell from x, y, z."""
        to_primitive = np.linalg.inv(centring(self.group))
        rotations, translations = operations(self.group)
        matrix, offset = self.affine
        matrices = to_primitive @ rotations @ matrix
        offsets = (rotations @ offset + translations) @ to_primitive.T
        kept: list[int] = []
        probe = np.array([0.1217, 0.2931, 0.4173])
        images = matrices @ probe + offsets
        for i, image in enumerate(images):
            gap = images[kept] - image
            if not kept or np.abs(gap - gap.round()).max(axis=1).min() > SAME:
                kept.append(i)
        return matrices[kept], offsets[kept]

    def orbit(self, values: np.ndarray) -> np.ndarray:
        """(M, 3) fractional coordinates in the primitive cell.

        Args:
            values: One number for each of ``free``.
        """
        point = np.zeros(3)
        point[list(self.free)] = values
        matrices, offsets = self.sites
        return (matrices @ point + offsets) % 1.0

    def solve(self, sites: np.ndarray, tolerance: float) -> np.ndarray | None:
        """The free values for which one of ``sites (M, 3)``, in the conventional cell, is the first site.

        None where no site, moved by a lattice vector, is of that form. Of several solutions, the one with the smallest
        values in the order x, y, z.
        """
        columns, inverse, shifts = self._solver
        moved = (sites[:, None] + shifts).reshape(-1, 3)
        found = moved @ inverse.T
        error = np.abs(found @ columns.T - moved).max(axis=1)
        fits = np.round(found[error < tolerance], 6) % 1.0
        return fits[np.lexsort(fits.T[::-1])[0]] if len(fits) and self.free else fits[0] if len(fits) else None

    @cached_property
    def _solver(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns (3, F) of the free coordinates, their pseudo-inverse, and lattice vectors less the offset."""
        matrix, offset = self.affine
        columns = matrix[:, list(self.free)]
        inverse = np.linalg.pinv(columns) if self.free else np.zeros((0, 3))
        return columns, inverse, _SHIFTS @ centring(self.group).T - offset


_SHIFTS = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@cache
def positions(group: int) -> tuple[Position, ...]:
    """Wyckoff positions of a space group, ``a`` first, the general one last."""
    order = round(abs(np.linalg.det(np.linalg.inv(centring(group)))))
    return tuple(Position(group, letter, m // order, site, at) for letter, m, site, at in _table()[str(group)])


@cache
def position(group: int, letter: str) -> Position:
    """The Wyckoff position of a letter."""
    return next(p for p in positions(group) if p.letter == letter)


@cache
def operations(group: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (O, 3, 3) and translations (O, 3) of a space group in its conventional cell, centring included."""
    found = moyopy.operations_from_number(group, setting=moyopy.Setting.standard())
    return np.array(found.rotations, dtype=float), np.array(found.translations)


@cache
def centring(group: int) -> np.ndarray:
    """(3, 3) matrix whose columns are the primitive lattice vectors in the conventional basis."""
    entry = moyopy.SpaceGroupType(group)
    hall = next(h for h in map(moyopy.HallSymbolEntry, range(1, 531)) if h.number == entry.number)
    return np.linalg.inv(np.array(hall.centering.linear, dtype=float))


@cache
def _table() -> dict[str, list[Row]]:
    return {number: [tuple(row) for row in rows] for number, rows in json.loads(TABLE.read_text()).items()}


def _linear(text: str) -> list[float]:
    """Factors of x, y, z and the constant of a sum such as ``-2x+1/3``."""
    row = [0.0] * 4
    for sign, factor, name in _TERM.findall(text):
        if factor or name:
            value = float(Fraction(factor or "1")) * (-1 if sign == "-" else 1)
            row["xyz".index(name) if name else 3] += value
    return row
