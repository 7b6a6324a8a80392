"""Keeping the space group during a relaxation: forces and stresses are averaged over its operations.

Shapes: A atoms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.spacegroup.symmetrize import prep_symmetry, refine_symmetry, symmetrize_rank1, symmetrize_rank2

from matgen.data.structures import from_atoms, to_atoms

if TYPE_CHECKING:
    from pymatgen.core import Structure


class KeptSymmetry:
    """The space group of a structure; ``structure`` is the input moved onto it exactly.

    Args:
        structure: Whose symmetry is to be kept.
        symprec: How far atoms may be from their symmetric places, Å.
    """

    def __init__(self, structure: Structure, symprec: float = 0.01) -> None:
        atoms = to_atoms(structure)
        refine_symmetry(atoms, symprec=symprec)
        self.structure = from_atoms(atoms)
        self._rotations, self._translations, self._images = prep_symmetry(atoms, symprec=symprec)

    def forces(self, forces: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """(A, 3) forces averaged over the group, in the unit given, for the present (3, 3) cell."""
        inverse = np.linalg.inv(cell)
        return symmetrize_rank1(cell, inverse, forces, self._rotations, self._translations, self._images)

    def stress(self, stress: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """(3, 3) stress averaged over the group, in the unit given, for the present (3, 3) cell."""
        return symmetrize_rank2(cell, np.linalg.inv(cell), stress, self._rotations)
