"""Whether a structure can be matter: the cell, the space for each atom, and how close atoms come.

Cheap tests come first, because tools that search neighbours exhaust time and memory on absurd cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Lattice, Structure

from matgen.elements import covalent_radius, symbols
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

AMU_PER_CUBIC_ANGSTROM = 1.66053906660
"""g/cm³ of one unified atomic mass unit in one Å³."""

UNKNOWN_RADIUS = 1.5
"""Å; covalent radius of elements beyond the table."""


@dataclass(frozen=True)
class Limits:
    """What still counts as matter.

    Args:
        angles: Smallest and largest angle of the reduced cell, degrees. Primitive cells of long rhombohedral and
            body-centred crystals are skew by themselves (3 % of MP-20); only their reduced cells tell.
        edges: Shortest and longest edge of the cell, Å.
        volume: Smallest and largest volume per atom, Å³.
        density: Largest density, g/cm³.
        distance: Shortest distance between any two atoms, Å.
        covalent: Shortest distance as a share of the sum of the covalent radii.
        atoms: Largest number of atoms.
    """

    angles: tuple[float, float] = (25.0, 155.0)
    edges: tuple[float, float] = (0.5, 1000.0)
    volume: tuple[float, float] = (3.0, 300.0)
    density: float = 40.0
    distance: float = 0.5
    covalent: float = 0.6
    atoms: int = 1000


@dataclass(frozen=True)
class Neighbours:
    """All pairs of atoms closer than some radius, images of the same atom included.

    Args:
        centre: (E,) index of one atom.
        other: (E,) index of its neighbour.
        distance: (E,) Å.
        nearest: (A, K) the K shortest distances of each atom, ascending, Å.
    """

    centre: np.ndarray
    other: np.ndarray
    distance: np.ndarray
    nearest: np.ndarray


def check_cell(structure: Structure, limits: Limits) -> None:
    """Refuse a cell or a packing that no matter has.

    Raises:
        DataError: The message names the quantity, its value and the limit.
    """
    atoms, lattice = len(structure), structure.lattice
    if not (np.isfinite(lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise DataError("not finite: a number of the cell or the coordinates.")
    if not all(lattice.pbc):
        raise DataError("not periodic: a direction of the cell.")
    if atoms > limits.atoms:
        raise DataError(f"too many atoms: {atoms}, allowed {limits.atoms}.")
    for name, value in zip(("a", "b", "c"), lattice.abc, strict=True):
        _within(value, limits.edges, f"absurd cell: {name}", "Å")
    _within(structure.volume / atoms, limits.volume, "absurd volume:", "Å³ per atom")
    _within(density(structure), (0.0, limits.density), "absurd density:", "g/cm³")
    reduced = lattice.get_lll_reduced_lattice()
    for name, value in zip(("alpha", "beta", "gamma"), reduced.angles, strict=True):
        _within(value, limits.angles, f"absurd cell: {name} of the reduced cell", "°")


def density(structure: Structure) -> float:
    """Mass density in g/cm³."""
    return float(structure.composition.weight * AMU_PER_CUBIC_ANGSTROM / structure.volume)


def neighbours(structure: Structure, k: int) -> Neighbours:
    """Pairs of atoms within a radius that gives every atom at least ``k`` neighbours.

    The search runs in the LLL-reduced cell: in a skew cell an atom's own images can be nearer than its edges tell.

    Args:
        structure: A structure that :func:`check_cell` has passed.
        k: Number of neighbours for each atom.
    """
    lattice = Lattice(structure.lattice.get_lll_reduced_lattice().matrix)
    places = lattice.get_fractional_coords(structure.cart_coords) % 1.0
    reduced = Structure(lattice, structure.species, places)
    radius = 1.15 * (3.0 * (k + 1) * structure.volume / len(structure) / (4.0 * np.pi)) ** (1.0 / 3.0)
    radius = max(radius, 3.2)
    while True:
        centre, other, _, distance = reduced.get_neighbor_list(radius, exclude_self=True)
        if len(centre) and np.bincount(centre, minlength=len(structure)).min() >= k:
            break
        radius *= 1.4
    order = np.lexsort((distance, centre))
    first = np.searchsorted(centre[order], np.arange(len(structure)))
    nearest = distance[order][first[:, None] + np.arange(k)]
    return Neighbours(centre, other, distance, nearest)


def check_distances(numbers: Sequence[int], pairs: Neighbours, limits: Limits) -> None:
    """Refuse atoms closer than ``limits.distance`` and than ``limits.covalent`` times their covalent radii.

    Raises:
        DataError: The message names the pair, its distance and the limit.
    """
    z = np.asarray(numbers)
    radius = np.nan_to_num(covalent_radius()[z], nan=UNKNOWN_RADIUS)
    allowed = np.maximum(limits.distance, limits.covalent * (radius[pairs.centre] + radius[pairs.other]))
    worst = int(np.argmin(pairs.distance / allowed))
    if pairs.distance[worst] < allowed[worst]:
        one, two = symbols()[z[pairs.centre[worst]]], symbols()[z[pairs.other[worst]]]
        raise DataError(
            f"atoms too close: {one} and {two} at {pairs.distance[worst]:.2f} Å, allowed {allowed[worst]:.2f} Å."
        )


def average_minimum_distances(structure: Structure, pairs: Neighbours) -> list[float]:
    """(K,) mean distance to the first, second, ... neighbour over the cube root of the volume per atom.

    It does not depend on the cell, and moving every atom by at most ε changes it by at most 2ε, so structures that
    are the same have close values (Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529, 2022).
    """
    length = (structure.volume / len(structure)) ** (1.0 / 3.0)
    return [float(value) for value in pairs.nearest.mean(axis=0) / length]


def _within(value: float, bounds: tuple[float, float], what: str, unit: str) -> None:
    if not bounds[0] <= value <= bounds[1]:
        raise DataError(f"{what} {value:.4g} {unit}, allowed {bounds[0]:g} to {bounds[1]:g}.")
