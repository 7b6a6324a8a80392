"""Neighbour lists of periodic systems: each pair of atoms once, and the angles between short bonds.

Shapes: A atoms, S systems, E undirected edges, T ordered pairs of bonds that share an atom.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

_PERIODIC = np.ones(3, dtype=np.int64)
_SAME_POINT = 1e-8
"""Closer than this (Å), a neighbour is the atom itself."""


@dataclass(frozen=True)
class Edges:
    """Undirected edges of a batch: atom ``i`` in the home cell, atom ``j`` in the cell at ``image``.

    Args:
        i: (E,) atom indices within the batch.
        j: (E,) atom indices within the batch.
        image: (E, 3) lattice translation of ``j``.
        system: (E,) system of each edge.
    """

    i: np.ndarray
    j: np.ndarray
    image: np.ndarray
    system: np.ndarray

    def __len__(self) -> int:
        return len(self.i)


def edges_within(cutoff: float, positions: np.ndarray, cells: np.ndarray, starts: np.ndarray) -> Edges:
    """All pairs within a distance, each of the two directions of a pair being listed once.

    Args:
        cutoff: Å.
        positions: (A, 3) Cartesian, Å.
        cells: (S, 3, 3) Å, rows a, b, c.
        starts: (S + 1,) index of each system's first atom, and A.
    """
    parts = [_half(cutoff, positions[a:b], cells[s], a) for s, (a, b) in enumerate(pairwise(starts))]
    i, j, image = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return Edges(i, j, image, np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts]))


def _half(cutoff: float, positions: np.ndarray, cell: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
    points = np.ascontiguousarray(positions)
    i, j, image, distance = find_points_in_spheres(
        points, points, r=cutoff, pbc=_PERIODIC, lattice=np.ascontiguousarray(cell), tol=_SAME_POINT
    )
    image = image.astype(np.int64)
    # A pair and its reverse differ in the order of the atoms or, for images of one atom, in the sign of the image.
    sign = np.where(image[:, 0] != 0, image[:, 0], np.where(image[:, 1] != 0, image[:, 1], image[:, 2]))
    keep = (distance > _SAME_POINT) & ((i < j) | ((i == j) & (sign > 0)))
    return i[keep] + first, j[keep] + first, image[keep]


def pairs_at(centres: np.ndarray, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs of different directed bonds that leave the same atom.

    Args:
        centres: (D,) the atom that each directed bond leaves.
        n_atoms: A.

    Returns:
        (T,) and (T,) indices of the two bonds.
    """
    order = np.argsort(centres, kind="stable")
    count = np.bincount(centres, minlength=n_atoms)
    start = np.cumsum(count) - count
    partners = count[centres[order]]
    first = np.repeat(np.arange(len(order)), partners)
    nth = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    second = start[centres[order]][first] + nth
    different = first != second
    return order[first[different]], order[second[different]]
