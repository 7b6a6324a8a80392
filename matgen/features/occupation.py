"""Which Wyckoff positions are occupied, and the space of crystals that this leaves free.

Coordinates of all atoms lie in an affine space on which the operations of the group act as the identity; projecting on
it is averaging over the group (asymmetric unit + projection, as DiffCSP++, arXiv:2402.03992). Cells lie in the space of
metrics that the point group leaves unchanged. Shapes: A atoms, O operations of the primitive cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import spglib
from pymatgen.core import Lattice

from matgen.features.conventional_cell import cell_parameters, free_angles, free_lengths
from matgen.features.wyckoff import SAME, centring, operations, position

if TYPE_CHECKING:
    from matgen.features.wyckoff import Position

OPEN = 0
"""Atomic number of an atom whose element is not decided."""


@dataclass(frozen=True)
class Occupation:
    """Elements on Wyckoff positions of a space group, in its standard setting.

    Args:
        group: International number.
        orbits: Atomic number and letter of each orbit. Where the element is not decided, a negative number stands for
            it: orbits with the same one will have the same element. A position without freedom occurs once at most.
    """

    group: int
    orbits: tuple[tuple[int, str], ...]

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """The Wyckoff position of each orbit."""
        return tuple(position(self.group, letter) for _, letter in self.orbits)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Atoms of each orbit in the primitive cell."""
        return np.array([p.multiplicity for p in self.positions])

    @cached_property
    def numbers(self) -> np.ndarray:
        """(A,) atomic numbers in the primitive cell, orbit by orbit; :data:`OPEN` where undecided."""
        return np.repeat([max(z, OPEN) for z, _ in self.orbits], self.sizes)

    @cached_property
    def kinds(self) -> np.ndarray:
        """(A,) index of the first atom that is to have the same element by the occupation."""
        labels = np.repeat([z for z, _ in self.orbits], self.sizes)
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        found: np.ndarray = first[inverse]
        return found

    @cached_property
    def owner(self) -> np.ndarray:
        """(A,) index of each atom's orbit."""
        return np.repeat(np.arange(len(self.orbits)), self.sizes)

    def place(self, rng: np.random.Generator) -> np.ndarray:
        """(A, 3) coordinates in the primitive cell of the standard setting, free ones uniform."""
        return np.concatenate([p.orbit(rng.random(len(p.free))) for p in self.positions])

    def draw_cell(self, volume: float, rng: np.random.Generator, spread: float = 0.35) -> np.ndarray:
        """(3, 3) rows of a primitive cell of this volume in Å³ with free lengths and angles at random."""
        lengths = np.exp(spread * rng.standard_normal(len(free_lengths(self.group))))
        angles = rng.uniform(65.0, 115.0, len(free_angles(self.group)))
        conventional = Lattice.from_parameters(*cell_parameters(self.group, lengths.tolist(), angles.tolist())).matrix
        basis = centring(self.group).T @ conventional
        scaled: np.ndarray = basis * (volume / abs(np.linalg.det(basis))) ** (1 / 3)
        return scaled


@dataclass(frozen=True)
class Subspace:
    """The crystals of an occupation, written in one primitive basis.

    Args:
        occupation: What it is of.
        origin: (A, 3) coordinates of one of them.
        cell: (3, 3) rows of its cell, Å.
        rotations: (O, 3, 3) of the operations, on columns of fractional coordinates.
        translations: (O, 3).
        images: (O, A) atom that each operation brings each atom to.
    """

    occupation: Occupation
    origin: np.ndarray
    cell: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    images: np.ndarray

    @classmethod
    def draw(cls, occupation: Occupation, volume: float, rng: np.random.Generator) -> Subspace:
        """A random crystal of the occupation in its Niggli cell, and the space that it lies in.

        Args:
            occupation: With at least one orbit.
            volume: Of the primitive cell, Å³.
            rng: Free coordinates and the shape of the cell.
        """
        standard = occupation.draw_cell(volume, rng)
        change = niggli_change(standard)
        onto = np.linalg.inv(change).T
        rotations, translations = primitive_operations(occupation.group)
        rotations = np.rint(onto @ rotations @ change.T)
        translations = translations @ onto.T
        while True:  # two orbits may by chance touch, and then the atoms' images are ambiguous
            origin = occupation.place(rng) @ onto.T
            images = _images(origin, occupation.owner, rotations, translations)
            if images is not None:
                return cls(occupation, origin % 1.0, change @ standard, rotations, translations, images)

    @cached_property
    def averaging(self) -> np.ndarray:
        """(3A, 3A) projection of displacements, mean of the operations; P P = P."""
        a, order = len(self.origin), len(self.rotations)
        blocks = np.zeros((a, a, 3, 3))
        atoms = np.arange(a)
        for rotation, image in zip(self.rotations, self.images, strict=True):
            blocks[image, atoms] += rotation / order
        return blocks.transpose(0, 2, 1, 3).reshape(3 * a, 3 * a)

    @cached_property
    def strain_averaging(self) -> np.ndarray:
        """(9, 9) projection of the logarithm of a cell's metric relative to :attr:`cell`, see :meth:`project_cell`."""
        turns = np.linalg.inv(self.cell) @ self.rotations.transpose(0, 2, 1) @ self.cell
        averaged: np.ndarray = np.mean([np.kron(turn, turn) for turn in turns], axis=0)
        return averaged

    def project_frac(self, frac: np.ndarray) -> np.ndarray:
        """The nearest coordinates (A, 3) in the subspace: f0 + P (f - f0), without wrapping.

        Lattice vectors matter: an atom that has left the cell must not have been brought back alone.
        """
        moved = (self.averaging @ (frac - self.origin).ravel()).reshape(-1, 3)
        projected: np.ndarray = self.origin + moved
        return projected

    def project_cell(self, cell: np.ndarray) -> np.ndarray:
        """The nearest cell (3, 3) whose metric the point group leaves unchanged, of the same volume.

        With the reference cell L0, M = L0⁻¹ G L0⁻ᵀ of the metric G = L Lᵀ; the mean of Q log M Qᵀ over the rotations
        Q of the reference is the nearest in the log-Euclidean distance. The orientation is that of L0.
        """
        inverse = np.linalg.inv(self.cell)
        values, vectors = np.linalg.eigh(inverse @ cell @ cell.T @ inverse.T)
        log = (vectors * np.log(values)) @ vectors.T
        mean = (self.strain_averaging @ log.ravel()).reshape(3, 3)
        values, vectors = np.linalg.eigh((mean + mean.T) / 2)
        projected: np.ndarray = self.cell @ ((vectors * np.exp(values / 2)) @ vectors.T)
        return projected


def primitive_operations(group: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (O, 3, 3) and translations (O, 3) in the primitive cell, each once."""
    basis = centring(group)
    inverse = np.linalg.inv(basis)
    rotations, translations = operations(group)
    rotations, translations = np.rint(inverse @ rotations @ basis), translations @ inverse.T
    translations = translations - np.floor(translations + SAME)
    _, first = np.unique(rotations.reshape(len(rotations), 9), axis=0, return_index=True)
    return rotations[first], translations[first]


def niggli_change(cell: np.ndarray) -> np.ndarray:
    """(3, 3) integer matrix M for which ``M @ cell`` is the right-handed Niggli cell."""
    reduced = spglib.niggli_reduce(cell)
    change = np.eye(3) if reduced is None else np.rint(reduced @ np.linalg.inv(cell))
    return -change if np.linalg.det(change @ cell) < 0 else change


def _images(frac: np.ndarray, owner: np.ndarray, rotations: np.ndarray, translations: np.ndarray) -> np.ndarray | None:
    moved = np.einsum("oij,aj->oai", rotations, frac) + translations[:, None]
    gap = moved[:, :, None] - frac
    same = (np.abs(gap - gap.round()).max(-1) < SAME) & (owner[:, None] == owner)
    return same.argmax(-1) if (same.sum(-1) == 1).all() else None
