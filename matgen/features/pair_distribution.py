"""Pair distributions by species: how a structure looks, whatever its elements and whatever its size.

Shapes: A atoms, S species, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

BINS = 24
NEAREST, FARTHEST = 0.3, 2.6
"""Range of distances, in units of the cube root of the volume per atom."""

WIDTH = 0.12
CENTRES = np.linspace(NEAREST, FARTHEST, BINS)


@dataclass(frozen=True)
class Pairs:
    """How the species of a structure surround each other.

    Args:
        distribution: (S, S, B) how many atoms of the second species lie at each distance around an atom of the first,
            on average.
        nearest: (S, S) shortest distance between two species, at most ``FARTHEST``.
    """

    distribution: np.ndarray
    nearest: np.ndarray


def pairs(structure: Structure, species: np.ndarray) -> Pairs:
    """Pair distribution and shortest distances, in units of (V/A)^(1/3).

    g_ab(μ) = 1/n_a Σ_{i in a} Σ_{j in b} exp(-(r_ij - μ)² / 2σ²) (1 + cos(π r_ij / r_max)) / 2. Invariant under
    translation, rotation, choice of cell and of units; smooth in the atomic positions.

    Args:
        structure: A atoms.
        species: (A,) species of each atom, 0 to S - 1; any labels, not necessarily elements.
    """
    unit = (structure.volume / len(structure)) ** (1 / 3)
    centre, neighbour, _, distance = structure.get_neighbor_list(FARTHEST * unit)
    r = distance / unit
    counts = np.bincount(species)
    s = len(counts)
    pair = species[centre] * s + species[neighbour]
    nearest = np.full(s * s, FARTHEST)
    np.minimum.at(nearest, pair, r)
    smear = np.exp(-(((r[:, None] - CENTRES) / WIDTH) ** 2) / 2)
    smear *= (0.5 * (1 + np.cos(pi * r / FARTHEST)))[:, None]
    # One histogram for all pairs of species and bins is much faster than adding row by row.
    flat = np.bincount((pair[:, None] * BINS + np.arange(BINS)).ravel(), smear.ravel(), minlength=s * s * BINS)
    distribution = flat.reshape(s, s, BINS) / counts[:, None, None]
    return Pairs(distribution.astype(np.float32), nearest.reshape(s, s))


def distances_between(distributions: np.ndarray) -> np.ndarray:
    """(K, K) root mean square differences between K pair distributions given as rows."""
    flat = distributions.reshape(len(distributions), -1).astype(np.float64)
    square = (flat**2).sum(axis=1)
    return np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0.0) / flat.shape[1])
