"""A short description of a structure that tells whether another one of the same formula is the same.

Shapes: A atoms, E elements of the structure, K = 32 numbers an element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEIGHBOURS, LIKE = 24, 8
FARTHEST = 3.0
"""Distances beyond are not told apart, in units of the cube root of the volume per atom."""

STEP = 0.02
"""Resolution in which fingerprints are stored, in the same unit."""


def fingerprint(structure: Structure) -> np.ndarray:
    """(E * 32,) for each element, by atomic number: mean distances to the nearest atoms, and to the nearest like it.

    The first 24 numbers are the average minimum distances (Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529,
    2022) taken over the atoms of one element only; the last 8 count only neighbours of the same element, which tells
    exchanged elements apart. In units of (V/A)^(1/3). Invariant under translation, rotation, choice of cell and
    uniform strain; continuous in the positions.
    """
    unit = (structure.volume / len(structure)) ** (1 / 3)
    centre, neighbour, _, distance = structure.get_neighbor_list(FARTHEST * unit)
    numbers = np.array(structure.atomic_numbers)
    order = np.lexsort((distance, centre))
    centre, neighbour, distance = centre[order], neighbour[order], distance[order] / unit
    nearest = _first(centre, distance, len(structure), NEIGHBOURS)
    same = numbers[centre] == numbers[neighbour]
    like = _first(centre[same], distance[same], len(structure), LIKE)
    atoms = np.concatenate([nearest, like], axis=1)
    return np.concatenate([atoms[numbers == z].mean(axis=0) for z in np.unique(numbers)])


def stored(vector: np.ndarray) -> list[int]:
    """The fingerprint in whole steps."""
    return np.rint(vector / STEP).astype(int).tolist()


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of two fingerprints of one formula."""
    return float(np.sqrt(np.square(one - other).mean())) if one.shape == other.shape else float("inf")


def _first(centre: np.ndarray, distance: np.ndarray, atoms: int, k: int) -> np.ndarray:
    """(A, k) the k shortest distances around each atom, from pairs sorted by atom and distance."""
    starts = np.searchsorted(centre, np.arange(atoms))
    place = np.arange(len(centre)) - starts[centre]
    table = np.full((atoms, k), FARTHEST)
    near = place < k
    table[centre[near], place[near]] = distance[near]
    return table
