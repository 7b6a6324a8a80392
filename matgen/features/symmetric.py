"""A crystal as its space group, its orbits and what they leave free; and back to a structure with that symmetry.

Shapes: O orbits, M sites of an orbit, A atoms of the primitive cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import moyopy
import numpy as np
from pymatgen.core import Lattice, Structure

from matgen.data.symmetry import REFINED_SYMPREC
from matgen.elements import N_NUMBERS, smact_electronegativity, symbols
from matgen.features.distances import shortest_distances
from matgen.features.occupation import Occupation
from matgen.features.wyckoff import Position, centring, operations, position, positions

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT = 1e-3
"""Fractional; refined coordinates deviate from their Wyckoff position by less."""

MOST_CHOICES = 8
"""Equivalent descriptions with the same letters that are compared by their values."""


@dataclass(frozen=True)
class Orbit:
    """Equivalent atoms.

    Args:
        element: Atomic number.
        letter: Of the Wyckoff position.
        values: What the position leaves free of x, y, z, in [0, 1).
    """

    element: int
    letter: str
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class SymmetricCrystal:
    """A crystal by its symmetry, in the conventional cell of the standard setting.

    Args:
        group: Number of the space group.
        orbits: In canonical order, see :func:`canonical_order`.
        cell: a, b, c in Å, alpha, beta, gamma in degrees.
    """

    group: int
    orbits: tuple[Orbit, ...]
    cell: tuple[float, ...]

    @classmethod
    def of(cls, structure: Structure, symprec: float = REFINED_SYMPREC) -> SymmetricCrystal | None:
        """The symmetry found in an ordered structure, or None where there is no answer.

        Of the equivalent descriptions that shifts of the origin and changes of the axes give (the Euclidean normalizer,
        International Tables A, chapter 3.5), the one with the alphabetically first letters.
        """
        data = _dataset(structure, symprec)
        return None if data is None else _described(data)

    @property
    def counts(self) -> dict[int, int]:
        """Atoms of the primitive cell by element, in the order of the orbits."""
        found: dict[int, int] = {}
        for orbit in self.orbits:
            found[orbit.element] = found.get(orbit.element, 0) + position(self.group, orbit.letter).multiplicity
        return found

    @property
    def occupation(self) -> Occupation:
        """Elements and letters, without what they leave free."""
        return Occupation(self.group, tuple((orbit.element, orbit.letter) for orbit in self.orbits))

    def structure(self) -> Structure:
        """The primitive cell."""
        basis = centring(self.group).T @ Lattice.from_parameters(*self.cell).matrix
        sites = [position(self.group, o.letter).orbit(np.array(o.values)) for o in self.orbits]
        species = [symbols()[o.element] for o, found in zip(self.orbits, sites, strict=True) for _ in found]
        return Structure(Lattice(basis), species, np.concatenate(sites))


@cache
def element_order() -> np.ndarray:
    """(119,) rank of each element by rising electronegativity, then by number; those without one come last."""
    scale = np.nan_to_num(smact_electronegativity(), nan=9.0)
    rank = np.empty(N_NUMBERS, dtype=int)
    rank[np.lexsort((np.arange(N_NUMBERS), scale))] = np.arange(N_NUMBERS)
    return rank


def canonical_order(group: int, orbits: Sequence[Orbit]) -> tuple[Orbit, ...]:
    """Orbits by rising electronegativity of the element, then by letter, then by values."""
    letters = [p.letter for p in positions(group)]
    return tuple(sorted(orbits, key=lambda o: (element_order()[o.element], letters.index(o.letter), o.values)))


@cache
def polar_axes(group: int) -> tuple[int, ...]:
    """Axes along which the origin of a space group is free."""
    rotations, _ = operations(group)
    mean = rotations.mean(axis=0)
    return tuple(k for k in range(3) if np.allclose(mean[:, k], np.eye(3)[k]) and np.allclose(mean[k], np.eye(3)[k]))


def _dataset(structure: Structure, symprec: float) -> moyopy.MoyoDataset | None:
    """The analysis of moyo, under the guard of :func:`matgen.data.symmetry.find_symmetry`."""
    cell, frac = structure.lattice.matrix, structure.frac_coords
    if not np.isfinite(cell).all() or shortest_distances(frac, cell).min() < 5 * symprec:
        return None
    try:
        content = moyopy.Cell(cell.tolist(), frac.tolist(), list(structure.atomic_numbers))
        return moyopy.MoyoDataset(content, symprec=symprec)
    except ValueError:  # moyo's name for every cell in which it finds no symmetry operations
        return None


def _described(data: moyopy.MoyoDataset) -> SymmetricCrystal | None:
    """The crystal in the description with the alphabetically first letters; of several, with the smallest values."""
    group = int(data.number)
    sites, numbers = _orbits(data)
    ranks = element_order()[numbers]
    std = np.array(data.std_cell.positions)
    first = [_index(std, centring(group) @ orbit[0]) for orbit in sites]
    try:
        known_choices = data.normalizer_wyckoff_positions().coset_representatives
    except ValueError:  # moyo refuses where the tolerance is large beside the shifts of the origin
        return None
    choices: list[tuple[list[tuple[int, str]], list[str], moyopy.UnimodularTransformation]] = []
    for change, named in known_choices:
        letters = [named[i].letter for i in first]
        key = sorted(zip(ranks.tolist(), (letter.swapcase() for letter in letters), strict=True))
        choices.append((key, letters, change))
    best = min(key for key, _, _ in choices)
    found = [_orbits_under(group, sites, numbers, letters, change) for key, letters, change in choices if key == best]
    known = [canonical_order(group, orbits) for orbits in found[:MOST_CHOICES] if orbits is not None]
    if not known:
        return None
    orbits = min(known, key=lambda orbits: [np.round(orbit.values, 3).tolist() for orbit in orbits])
    crystal = SymmetricCrystal(group, orbits, tuple(Lattice(data.std_cell.basis).parameters))
    return crystal if sum(crystal.counts.values()) == len(data.prim_std_cell.numbers) else None


def _orbits_under(
    group: int,
    sites: list[np.ndarray],
    numbers: list[int],
    letters: list[str],
    change: moyopy.UnimodularTransformation,
) -> list[Orbit] | None:
    """The orbits after a change of origin and axes; None where one is not at its position.

    Where the group leaves the origin free, it is put at the first orbit.
    """
    linear, shift = np.linalg.inv(np.array(change.linear, dtype=float)), np.array(change.origin_shift)
    origin = np.zeros(3)
    found = []
    order = np.lexsort((np.array([letter.swapcase() for letter in letters]), element_order()[numbers]))
    for rank, k in enumerate(order):
        moved = (sites[k] @ centring(group).T - shift) @ linear.T - origin
        at = position(group, letters[k])
        values = at.solve(moved, EXACT)
        if values is not None and rank == 0 and polar_axes(group):
            origin = _drift(at, values)
            values = at.solve(moved - origin, EXACT)
        if values is None:
            return None
        found.append(Orbit(int(numbers[k]), letters[k], tuple(values.tolist())))
    return found


def _orbits(data: moyopy.MoyoDataset) -> tuple[list[np.ndarray], list[int]]:
    """Sites (M, 3) of each orbit in the primitive cell, and its element."""
    owner = np.full(len(data.prim_std_cell.numbers), -1)
    owner[list(data.mapping_std_prim)] = list(data.orbits)
    frac, numbers = np.array(data.prim_std_cell.positions), np.array(data.prim_std_cell.numbers)
    kinds = np.unique(owner)
    return [frac[owner == k] for k in kinds], [int(numbers[owner == k][0]) for k in kinds]


def _index(sites: np.ndarray, point: np.ndarray) -> int:
    gap = sites - point
    return int(np.abs(gap - gap.round()).max(axis=1).argmin())


def _drift(at: Position, values: np.ndarray) -> np.ndarray:
    """The shift along free axes after which the first site lies at their origin."""
    point = np.zeros(3)
    point[list(at.free)] = values
    matrix, offset = at.affine
    shift = np.zeros(3)
    axes = list(polar_axes(at.group))
    shift[axes] = (matrix @ point + offset)[axes]
    return shift
