"""A short description of a structure that tells whether another one of the same formula is the same.

Shapes: A atoms, E elements of the structure, P = E (E + 1) / 2 pairs of elements, K = 12 neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEIGHBOURS = 12
FARTHEST = 2.5
"""Distances beyond are not told apart, in units of the cube root of the volume per atom."""

STEP = 0.01
"""Resolution in which fingerprints are stored, in the same unit."""


def fingerprint(structure: Structure) -> np.ndarray:
    """(P * 2 * K,) for each pair of elements: distances to the k-th nearest atom, their mean and their deviation.

    Around each atom of element a the distances to its K nearest atoms of element b are sorted; mean and standard
    deviation are taken over the atoms of a, then over both orders of the pair. Pairs come in the order of atomic
    numbers. These are average minimum distances (Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529, 2022)
    resolved by element, in units of (V/A)^(1/3). Invariant under translation, rotation, choice of cell and uniform
    strain; continuous in the positions.
    """
    return _pair_distances(structure, np.array(structure.atomic_numbers))


def shape(structure: Structure) -> np.ndarray:
    """(2 * K,) the same with all atoms counted as one element: alike for isostructural compounds."""
    return _pair_distances(structure, np.zeros(len(structure), dtype=int))


def stored(vector: np.ndarray) -> np.ndarray:
    """The fingerprint in whole steps, a byte each."""
    return np.rint(vector / STEP).astype(np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of two fingerprints of one formula, means and deviations counted alike.

    d² = ⟨(Δ mean)²⟩ + ⟨(Δ deviation)²⟩, in units of (V/A)^(1/3); infinite where the lengths differ.
    """
    return float(np.sqrt(2 * np.square(one - other).mean())) if one.shape == other.shape else float("inf")


def _pair_distances(structure: Structure, kinds: np.ndarray) -> np.ndarray:
    unit = (structure.volume / len(structure)) ** (1 / 3)
    centre, neighbour, _, distance = structure.get_neighbor_list(FARTHEST * unit)
    order = np.lexsort((distance, centre))
    centre, distance, kind = centre[order], distance[order] / unit, kinds[neighbour[order]]
    members = [kinds == k for k in np.unique(kinds)]
    rows = []
    for k in np.unique(kinds):
        near = _nearest(centre[kind == k], distance[kind == k], len(kinds))
        rows.append([np.stack([near[atoms].mean(axis=0), near[atoms].std(axis=0)]) for atoms in members])
    table = np.array(rows)
    first, second = np.triu_indices(len(members))
    return ((table[first, second] + table[second, first]) / 2).ravel()


def _nearest(centre: np.ndarray, distance: np.ndarray, atoms: int) -> np.ndarray:
    """(A, K) the K shortest distances around each atom, from pairs sorted by atom and distance."""
    place = np.arange(len(centre)) - np.searchsorted(centre, centre)
    table = np.full((atoms, NEIGHBOURS), FARTHEST)
    near = place < NEIGHBOURS
    table[centre[near], place[near]] = distance[near]
    return table
