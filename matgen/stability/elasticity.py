"""Elastic moduli and the equation of state of a relaxed structure, by strains.

The atoms relax in each strained cell, and all strained cells of one structure are evaluated together. Strains and
stresses are in Voigt order xx, yy, zz, yz, xz, xy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.eos import EOS, EOSError

from matgen.errors import DataError
from matgen.stability.batched import GPA, RelaxSettings, batch_of, relax_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.stability.batched import Relaxed
    from matgen.stability.potential import Potential

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

VOLUMES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)
"""Volumes of the equation of state, by the relaxed one."""


@dataclass(frozen=True)
class Elasticity:
    """Elastic stiffness and the averages of Voigt, Reuss and Hill (Hill, Proc. Phys. Soc. A 65, 349, 1952).

    Args:
        stiffness: (6, 6) GPa, symmetric.
    """

    stiffness: np.ndarray

    @property
    def born_stable(self) -> bool:
        """Whether the stiffness is positive definite (Mouhat and Coudert, Phys. Rev. B 90, 224104, 2014)."""
        return bool(np.linalg.eigvalsh(self.stiffness).min() > 0)

    @property
    def bulk_modulus(self) -> float:
        """Hill's, GPa; NaN of an unstable crystal, for which Reuss's average means nothing."""
        c = self.stiffness
        return self._hill(c[:3, :3].sum() / 9, 1 / self._compliance[:3, :3].sum())

    @property
    def shear_modulus(self) -> float:
        """Hill's, GPa; NaN likewise."""
        c = self.stiffness
        voigt = (_normal(c) + 3 * np.trace(c[3:, 3:])) / 15
        s = self._compliance
        return self._hill(voigt, 15 / (4 * _normal(s) + 3 * np.trace(s[3:, 3:])))

    @property
    def _compliance(self) -> np.ndarray:
        return np.linalg.inv(self.stiffness) if self.born_stable else np.full((6, 6), np.nan)

    def _hill(self, voigt: float, reuss: float) -> float:
        return float(voigt + reuss) / 2


def _normal(matrix: np.ndarray) -> float:
    """Diagonal less off-diagonal elements of the upper left block, which the shear averages share."""
    return float(np.trace(matrix[:3, :3]) - matrix[0, 1] - matrix[0, 2] - matrix[1, 2])


def elasticity(structure: Structure, potential: Potential, strain: float = 0.005, fmax: float = 0.01) -> Elasticity:
    """Stiffness from central differences of the stress over six strains of both signs.

    Args:
        structure: Relaxed structure.
        potential: Where stresses come from.
        strain: Size of the (engineering) strains.
        fmax: Largest force at which the atoms of a strained cell are relaxed, eV/Å.
    """
    deformed = [_strained(structure, j, sign * strain) for j in range(6) for sign in (1, -1)]
    relaxed = _relaxed_inside(deformed, potential, fmax)
    parts = [(np.array(structure.atomic_numbers), r.frac, r.cell) for r in relaxed]
    stress = potential.evaluate(batch_of(parts)).stress
    if stress is None:
        raise TypeError(f"{type(potential).__name__} gave no stresses.")
    voigt = np.array([[s[a, b] for a, b in VOIGT] for s in stress])
    columns = (voigt[::2] - voigt[1::2]) / (2 * strain) * GPA
    return Elasticity((columns + columns.T) / 2)


def equation_of_state(structure: Structure, potential: Potential, fmax: float = 0.01) -> tuple[float, float]:
    """Volume (Å³/atom) and bulk modulus (GPa) of a third-order Birch-Murnaghan fit at fixed shape of the cell.

    Birch, Phys. Rev. 71, 809, 1947.

    Raises:
        DataError: The energies have no minimum within the volumes, so that nothing can be fitted.
    """
    scaled = []
    for ratio in VOLUMES:
        copy = structure.copy()
        copy.scale_lattice(structure.volume * ratio)
        scaled.append(copy)
    energies = [r.energy for r in _relaxed_inside(scaled, potential, fmax)]
    try:
        fit = EOS("birch_murnaghan").fit([s.volume / len(s) for s in scaled], energies)
    except (EOSError, RuntimeError, ValueError) as error:
        raise DataError(f"no equation of state fits: {error}.", where=structure.formula) from error
    return float(fit.v0), float(fit.b0_GPa)


def _strained(structure: Structure, j: int, strain: float) -> Structure:
    from pymatgen.core import Lattice, Structure

    (a, b), change = VOIGT[j], np.zeros((3, 3))
    change[a, b] = change[b, a] = strain if a == b else strain / 2
    lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + change))
    return Structure(lattice, structure.species, structure.frac_coords)


def _relaxed_inside(structures: Sequence[Structure], potential: Potential, fmax: float) -> list[Relaxed]:
    settings = RelaxSettings(fmax=fmax, cell=False, max_steps=200)
    relaxed = relax_together(structures, potential, settings)
    bad = next((r for r in relaxed if r.status != "ok"), None)
    if bad is not None:
        raise DataError(f"a strained cell did not relax: {bad.status}, {bad.reason}.", where=structures[0].formula)
    return relaxed
