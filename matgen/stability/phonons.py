"""Dynamical stability: phonon frequencies from finite displacements, at the wave vectors that a supercell holds.

Shapes: A atoms of the cell, N cells of the supercell.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from matgen.stability.batched import batch_of

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from matgen.stability.potential import Potential

THZ = 15.633302
"""Frequency of one (eV/Å²/u)^½ in THz."""

LARGEST = 200
"""Most atoms in a supercell."""

AT_ONCE = 4
"""Displaced supercells evaluated together; more gain nothing on a CPU and cost memory."""


def repeats(structure: Structure, length: float = 9.0, largest: int = LARGEST) -> tuple[int, int, int]:
    """How often the cell is repeated along each axis so that it is ``length`` Å long, within ``largest`` atoms."""
    counts = [1, 1, 1]
    while True:
        lengths = [n * a for n, a in zip(counts, structure.lattice.abc, strict=True)]
        shortest = int(np.argmin(lengths))
        grown = np.prod(counts) / counts[shortest] * (counts[shortest] + 1)
        if lengths[shortest] >= length or grown * len(structure) > largest:
            return counts[0], counts[1], counts[2]
        counts[shortest] += 1


def phonon_frequencies(
    structure: Structure, potential: Potential, counts: tuple[int, int, int] | None = None, step: float = 0.01
) -> np.ndarray:
    """Frequencies at all wave vectors commensurate with the supercell; imaginary ones are negative.

    The dynamical matrix is D(q) = Σ_R Φ(0, R) exp(2πi q·R) / √(m m'), with force constants Φ from central differences
    of the forces (Parlinski, Li, Kawazoe, Phys. Rev. Lett. 78, 4063, 1997), made to obey the acoustic sum rule.

    Args:
        structure: Relaxed structure of A atoms.
        potential: Where forces come from.
        counts: Repeats of the cell; :func:`repeats` by default.
        step: Displacement, Å.

    Returns:
        (N, 3 A) THz, the zone centre first.
    """
    counts = counts or repeats(structure)
    constants, cells = _force_constants(structure, potential, counts, step)
    masses = np.repeat([float(s.specie.atomic_mass) for s in structure], 3)
    waves = cells / np.array(counts)
    phases = np.exp(2j * np.pi * waves @ cells.T)
    dynamical = np.einsum("qr,rij->qij", phases, constants) / np.sqrt(np.outer(masses, masses))
    squares = np.linalg.eigvalsh((dynamical + dynamical.conj().transpose(0, 2, 1)) / 2)
    return np.asarray(np.sign(squares) * np.sqrt(np.abs(squares)) * THZ)


def _force_constants(
    structure: Structure, potential: Potential, counts: tuple[int, int, int], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3 A, 3 A) eV/Å² between the first cell (rows) and each, and the (N, 3) whole-number places of the cells."""
    atoms = len(structure)
    cells = np.array(list(product(*map(range, counts))))
    cell = structure.lattice.matrix * np.array(counts)[:, None]
    frac = ((structure.frac_coords[None] + cells[:, None]) / np.array(counts)).reshape(-1, 3)
    numbers = np.tile(structure.atomic_numbers, len(cells))
    moved = []
    for k, sign in product(range(3 * atoms), (1, -1)):
        places = frac @ cell
        places[k // 3, k % 3] += sign * step
        moved.append((numbers, places @ np.linalg.inv(cell), cell))
    forces = np.concatenate([_forces(moved[i : i + AT_ONCE], potential) for i in range(0, len(moved), AT_ONCE)])
    change = -(forces[::2] - forces[1::2]) / (2 * step)
    constants = change.reshape(3 * atoms, len(cells), 3 * atoms).transpose(1, 0, 2)
    excess = constants.sum(axis=0).reshape(3 * atoms, atoms, 3).sum(axis=1)  # what moves when everything moves
    for a in range(atoms):
        rows = slice(3 * a, 3 * a + 3)
        constants[0, rows, rows] -= excess[rows]
    return constants, cells


def _forces(systems: list[tuple[np.ndarray, np.ndarray, np.ndarray]], potential: Potential) -> np.ndarray:
    forces = potential.evaluate(batch_of(systems)).forces
    if forces is None:
        raise TypeError(f"{type(potential).__name__} gave no forces.")
    return forces.reshape(len(systems), -1)
