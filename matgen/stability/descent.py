"""Quasi-Newton minimisation of atoms and cell together, one system at a time, for any source of forces.

The variables of a system are its atoms in the frame of the first cell and the deformation of that cell, scaled so that
both have curvatures of a few eV/Å². That, more than anything, decides how many steps a relaxation needs.

Shapes: A atoms. Cells have rows a, b, c; a point moves as x = q F with the deformation gradient F.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DescentSettings:
    """How boldly to move.

    Args:
        curvature: First guess of all second derivatives, eV/Å².
        cell_scale: Length by which a strain becomes a coordinate, Å, for one atom; it grows with the square root of
            their number, as the stiffness of the cell does.
        max_move: Longest move of an atom in one step, Å.
        max_strain: Largest component of the strain in one step.
        cell: Whether the cell may change.
    """

    curvature: float = 15.0
    cell_scale: float = 1.0
    max_move: float = 0.2
    max_strain: float = 0.05
    cell: bool = True


class Descent:
    """BFGS (Broyden, Fletcher, Goldfarb, Shanno 1970) in atoms and deformation; advances when given forces.

    Negative curvatures are taken by their size, as in ASE's BFGS, so that saddles are left downhill.

    Args:
        frac: (A, 3) fractional coordinates.
        cell: (3, 3) Å.
        settings: Step limits and scales.
    """

    def __init__(self, frac: np.ndarray, cell: np.ndarray, settings: DescentSettings | None = None) -> None:
        self.settings = settings or DescentSettings()
        self.first_cell = np.array(cell, dtype=float)
        self.scale = self.settings.cell_scale * np.sqrt(len(frac))
        atoms = np.asarray(frac, dtype=float) @ self.first_cell
        self._x = np.concatenate([atoms.ravel(), np.zeros(9 if self.settings.cell else 0)])
        self._hessian = np.eye(len(self._x)) * self.settings.curvature
        self._before: tuple[np.ndarray, np.ndarray] | None = None
        self.steps = 0

    @property
    def frac(self) -> np.ndarray:
        """(A, 3) present fractional coordinates, not wrapped."""
        return self._atoms(self._x) @ np.linalg.inv(self.first_cell)

    @property
    def deformation(self) -> np.ndarray:
        """(3, 3) present deformation gradient F."""
        strain = self._strain(self._x)
        return np.eye(3) + strain

    @property
    def cell(self) -> np.ndarray:
        """(3, 3) present cell, Å."""
        return self.first_cell @ self.deformation

    def advance(self, forces: np.ndarray, stress: np.ndarray) -> None:
        """Take one step.

        Args:
            forces: (A, 3) at the present place, eV/Å.
            stress: (3, 3) at the present place, eV/Å³.
        """
        gradient = self._gradient(forces, stress)
        self._learn(gradient)
        values, vectors = np.linalg.eigh(self._hessian)
        step = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-3))
        self._before = (self._x, gradient)
        self._x = self._x + step * min(1.0, self._limit(step))
        self.steps += 1

    def _gradient(self, forces: np.ndarray, stress: np.ndarray) -> np.ndarray:
        # x = q F: dE/dq = -f Fᵀ, and dE/dF = F⁻ᵀ (V σ), since F + dF is the strain F⁻¹ dF on top of F.
        deformation = self.deformation
        atoms = (-forces @ deformation.T).ravel()
        if not self.settings.cell:
            return atoms
        virial = stress * abs(np.linalg.det(self.cell))
        return np.concatenate([atoms, (np.linalg.inv(deformation).T @ virial).ravel() / self.scale])

    def _learn(self, gradient: np.ndarray) -> None:
        if self._before is None:
            return
        moved, changed = self._x - self._before[0], gradient - self._before[1]
        along, pushed = moved @ changed, self._hessian @ moved
        if abs(along) > 1e-12 and abs(moved @ pushed) > 1e-12:
            self._hessian += np.outer(changed, changed) / along - np.outer(pushed, pushed) / (moved @ pushed)

    def _limit(self, step: np.ndarray) -> float:
        move = np.linalg.norm(self._atoms(step), axis=1).max()
        strain = np.abs(self._strain(step)).max()
        return min(self.settings.max_move / max(move, 1e-12), self.settings.max_strain / max(strain, 1e-12))

    def _atoms(self, x: np.ndarray) -> np.ndarray:
        return (x[:-9] if self.settings.cell else x).reshape(-1, 3)

    def _strain(self, x: np.ndarray) -> np.ndarray:
        return x[-9:].reshape(3, 3) / self.scale if self.settings.cell else np.zeros((3, 3))


def largest_force(forces: np.ndarray, stress: np.ndarray, volume: float, *, cell: bool = True) -> float:
    """What a convergence threshold is compared with, eV/Å: as in ASE's cell filters, V σ / A counts as a force."""
    largest = float(np.linalg.norm(forces, axis=1).max())
    if not cell:
        return largest
    return max(largest, float(np.linalg.norm(stress * volume / len(forces), axis=1).max()))
