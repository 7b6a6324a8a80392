"""Shortest distances between atoms of periodic cells.

The cell is Minkowski-reduced first, so that thin and skewed cells, in which an atom may come close to its own images,
are treated exactly. Shapes: A atoms.
"""

from __future__ import annotations

from itertools import product

import moyopy
import numpy as np

IMAGES = np.array(list(product((-1, 0, 1), repeat=3)))
"""(27, 3) translations among which the nearest image lies when the cell is Minkowski-reduced."""


def shortest_distances(frac: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Distance from each atom to the nearest image of each other atom, and to its own nearest image.

    Args:
        frac: (A, 3) fractional coordinates.
        cell: (3, 3) Å with rows a, b, c.

    Returns:
        (A, A) in Å; 0 throughout where the cell is degenerate or a number is not finite.
    """
    change = reduction(cell) if np.isfinite(frac).all() else None
    if change is None:
        return np.zeros((len(frac), len(frac)))
    cell, frac = change @ cell, frac @ np.linalg.inv(change)
    difference = frac[:, None] - frac
    difference = difference - difference.round()
    vectors = (difference + nearest_images(difference, cell)) @ cell
    return np.sqrt((vectors**2).sum(-1))


def nearest_distances(difference: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(...,) Å from points to the nearest images of others.

    Args:
        difference: (..., 3) of fractional coordinates.
        cell: (3, 3) Å with rows a, b, c, Minkowski-reduced.
    """
    difference = difference - difference.round()
    shifts = IMAGES @ cell
    vectors = difference @ cell
    squared = 2 * vectors @ shifts.T + (shifts**2).sum(-1)
    return np.sqrt(np.maximum((vectors**2).sum(-1) + squared.min(-1), 0))


def nearest_images(difference: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Translation that brings each pair of atoms closest; an atom's own place does not count for itself.

    Args:
        difference: (A, A, 3) wrapped differences of fractional coordinates.
        cell: (3, 3) Å, Minkowski-reduced.

    Returns:
        (A, A, 3) whole numbers.
    """
    shifts = IMAGES @ cell
    squared = 2 * (difference @ cell) @ shifts.T + (shifts**2).sum(-1)
    own = np.arange(len(difference))
    squared[own, own, len(IMAGES) // 2] = np.inf
    nearest: np.ndarray = IMAGES[squared.argmin(-1)]
    return nearest


def reduction(cell: np.ndarray) -> np.ndarray | None:
    """(3, 3) integer matrix M for which ``M @ cell`` is Minkowski-reduced; None where the cell is degenerate."""
    try:
        return np.asarray(moyopy.minkowski_reduce(cell.tolist())[1], dtype=float).T
    except ValueError:  # moyo's answer to vectors that span no volume or are not finite
        return None
