"""Atoms within reach of each other in periodic cells, and the bonds among them.

Shapes: A atoms, E ordered pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from matgen.elements import covalent_radius
from matgen.features.distances import reduction, shortest_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

BONDED = 1.2
"""Atoms closer than this times the sum of their covalent radii count as bonded.

It tells the layers of graphite and MoS2 and the chains of Te apart, and joins the ions of CsI and the atoms of K.
"""

OVERLAP = 0.5
"""Where atoms come closer than this times the sum of their covalent radii, bonds cannot be told."""


def usable(frac: np.ndarray, cell: np.ndarray) -> bool:
    """Whether all numbers are finite and the cell spans a volume."""
    return bool(np.isfinite(frac).all()) and reduction(cell) is not None


def pairs_within(
    frac: np.ndarray, cell: np.ndarray, reach: float, change: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All ordered pairs of atoms within reach, periodic images included.

    Args:
        frac: (A, 3) fractional coordinates.
        cell: (3, 3) Å with rows a, b, c, not degenerate.
        reach: Å.
        change: Of the cell to its reduced form, as of :func:`matgen.features.distances.reduction`, where it is known.

    Returns:
        ``centre (E,)`` and ``other (E,)``, indices of atoms, and ``image (E, 3)``, whole translations of the other.
    """
    # In a reduced cell few images need to be looked at, however skewed the given one is.
    change = reduction(cell) if change is None else change
    if change is None:
        raise ValueError("the cell is degenerate")
    reduced = change @ cell
    inside = (frac @ np.linalg.inv(change)) % 1.0
    places = np.ascontiguousarray(inside @ reduced)
    centre, other, image, distance = find_points_in_spheres(
        all_coords=places,
        center_coords=places,
        r=reach,
        pbc=np.ones(3, dtype=int),
        lattice=np.ascontiguousarray(reduced),
        tol=1e-8,
    )
    itself = (centre == other) & (distance < 1e-8) & (np.abs(image) < 0.5).all(1)
    centre, other, image = centre[~itself], other[~itself], image[~itself]
    # Translations of the atoms as they were given, in the given cell.
    moved = (inside[other] + image - inside[centre]) @ change
    return centre, other, np.rint(moved - frac[other] + frac[centre]).astype(int)


def bonds(structure: Structure, factor: float = BONDED) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Pairs closer than ``factor`` times the sum of their covalent radii; None where atoms overlap.

    The radii are those of Cordero et al., Dalton Trans. 2008, 2832.

    Args:
        structure: Ordered.
        factor: Of the sum of radii.

    Returns:
        As :func:`pairs_within`.
    """
    frac, cell = structure.frac_coords, structure.lattice.matrix
    radii = bonding_radii(structure.atomic_numbers)
    summed = radii[:, None] + radii
    if not usable(frac, cell) or (shortest_distances(frac, cell) < OVERLAP * summed).any():
        return None
    centre, other, image = pairs_within(frac, cell, factor * float(summed.max()))
    vectors = (frac[other] + image - frac[centre]) @ cell
    near = (vectors**2).sum(1) <= (factor * summed[centre, other]) ** 2
    return centre[near], other[near], image[near]


def bonding_radii(numbers: Sequence[int]) -> np.ndarray:
    """(A,) covalent radii in Å by atomic number (Cordero et al., Dalton Trans. 2008, 2832)."""
    known = covalent_radius()
    # Beyond curium no radius is tabulated; all of those are heavy metals.
    return np.where(np.isnan(known[list(numbers)]), known[96], known[list(numbers)])
