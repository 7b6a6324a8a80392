"""Periodic neighbour graphs on the asymmetric unit.

Atoms that symmetry maps onto each other have equal surroundings, so an invariant network needs one node for each
orbit of atoms, weighted by the size of the orbit (Ruff et al., coGN, arXiv:2302.14102). In the Materials Project
this leaves about a third of the nodes; in a structure without symmetry every atom is its own orbit.

Shapes: A atoms, N orbits, E edges.
"""

from __future__ import annotations

import logging
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch_geometric.data import Data

NEIGHBOURS = 16
FARTHEST = 12.0
"""Å; an atom with nothing within this distance has no edges."""

SYMMETRY_TOLERANCE = 1e-2
"""Å; positions that agree so far count as equivalent."""

SHELL = 1.01
"""Neighbours up to this factor beyond the k-th belong to its shell, so that no shell is cut in two."""


def to_graph(structure: Structure, neighbours: int = NEIGHBOURS) -> Data:
    """Neighbour graph of an ordered structure as a torch-geometric ``Data``.

    Fields: ``numbers (N,)`` atomic numbers, ``weight (N,)`` share of the orbit in all atoms (sums to 1),
    ``edge_index (2, E)`` sender and receiver orbits sorted by receiver, ``vector (E, 3)`` Å from the receiver's
    representative atom to its neighbour, ``volume (1,)`` Å³ per atom.

    Args:
        structure: Ordered structure of A atoms.
        neighbours: Each orbit has at least so many neighbours, completed to whole shells.

    Raises:
        DataError: The structure is disordered.
    """
    import torch
    from torch_geometric.data import Data

    if not structure.is_ordered:
        raise DataError("a graph needs an ordered structure.", where=structure.formula)
    orbit = orbits(structure)
    centres, members = np.unique(orbit, return_counts=True)
    receiver, sender, vector = neighbour_edges(structure, centres, neighbours)
    return Data(
        numbers=torch.tensor(np.asarray(structure.atomic_numbers)[centres], dtype=torch.long),
        weight=torch.tensor(members / len(structure), dtype=torch.float32),
        edge_index=torch.tensor(np.stack([np.searchsorted(centres, orbit[sender]), receiver]), dtype=torch.long),
        vector=torch.tensor(vector, dtype=torch.float32),
        volume=torch.tensor([structure.volume / len(structure)], dtype=torch.float32),
        num_nodes=len(centres),
    )


def orbits(structure: Structure, tolerance: float = SYMMETRY_TOLERANCE) -> np.ndarray:
    """(A,) index of the first atom that symmetry makes equivalent to each atom, by moyo."""
    import moyopy

    # Its warning, once for each supercell, is about orbits by the primitive cell: just those that are wanted here.
    logging.getLogger("moyo").setLevel(logging.ERROR)
    cell = moyopy.Cell(
        basis=structure.lattice.matrix.tolist(),
        positions=structure.frac_coords.tolist(),
        numbers=list(structure.atomic_numbers),
    )
    try:
        return np.array(moyopy.MoyoDataset(cell, symprec=tolerance).orbits)
    except ValueError:  # no symmetry can be found, for example in a collapsed cell
        return np.arange(len(structure))


def neighbour_edges(
    structure: Structure, centres: np.ndarray, neighbours: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges from the nearest neighbours of chosen atoms, in whole shells.

    Args:
        structure: A atoms.
        centres: (N,) atom indices.
        neighbours: k, the least number of neighbours where so many lie within :data:`FARTHEST`.

    Returns:
        ``receiver (E,)`` position in ``centres``, sorted; ``sender (E,)`` atom index; ``vector (E, 3)`` Å.
    """
    radius = float(first_radius(structure.volume / len(structure), neighbours))
    while True:
        sites = [structure[int(i)] for i in centres]
        receiver, sender, image, distance = structure.get_neighbor_list(radius, sites, exclude_self=False)
        itself = (sender == centres[receiver]) & (image == 0).all(axis=1)
        receiver, sender, image, distance = (x[~itself] for x in (receiver, sender, image, distance))
        nearest, count = shells(receiver, distance, len(centres), neighbours)
        if radius >= FARTHEST or count.min() >= neighbours:
            break
        radius = min(1.4 * radius, FARTHEST)
    receiver, sender, image = receiver[nearest], sender[nearest], image[nearest]
    frac = structure.frac_coords
    vector = (frac[sender] + image - frac[centres[receiver]]) @ structure.lattice.matrix
    return receiver, sender, vector


def first_radius(room: float | np.ndarray, neighbours: int) -> np.ndarray:
    """Å within which an atom most likely has so many neighbours, for ``room`` Å³ an atom."""
    return np.minimum(1.25 * (3 * (neighbours + 1) * np.asarray(room) / (4 * pi)) ** (1 / 3), FARTHEST)


def shells(
    receiver: np.ndarray, distance: np.ndarray, receivers: int, neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which edges lead to the nearest neighbours, in whole shells.

    Args:
        receiver: (E,) of each edge.
        distance: (E,) Å.
        receivers: N.
        neighbours: k, the least number of neighbours where there are so many.

    Returns:
        Indices of edges, sorted by receiver and distance; and how many edges each receiver has to choose from (N,).
    """
    order = np.lexsort((distance, receiver))
    receiver, distance = receiver[order], distance[order]
    first = np.searchsorted(receiver, np.arange(receivers))
    count = np.diff(np.append(first, len(receiver)))
    last = first + np.minimum(count, neighbours) - 1
    reach = np.where(count > 0, SHELL * np.append(distance, 0.0)[last], 0.0)
    return order[distance <= reach[receiver]], count
