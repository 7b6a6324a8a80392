"""What must hold of a structure before a potential is asked: outside of this, potentials answer nonsense or never.

A cell with angles of 5° made one potential exhaust 16 GB, and atoms 0.01 Å apart relaxed "successfully".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.minimum_distance import MinDistance
from matgen.constraints.packing import VolumePerAtom
from matgen.elements import symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure


@dataclass(frozen=True)
class Gate:
    """Limits of what is handed to a potential.

    Args:
        elements: Atomic numbers that the potential knows.
        reach: Every atom must have another (or its own image) within this distance, Å.
        min_distance: No two atoms may be closer, Å.
        radius_factor: Nor closer than this share of the sum of their covalent radii.
        min_volume: Smallest volume per atom, Å³.
        max_volume: Largest volume per atom, Å³.
        min_height: Smallest distance between opposite faces of the cell, Å.
        max_atoms: Most atoms in a cell.
    """

    elements: frozenset[int]
    reach: float = 6.0
    min_distance: float = 0.5
    radius_factor: float = 0.4
    min_volume: float = 3.0
    max_volume: float = 300.0
    min_height: float = 1.0
    max_atoms: int = 1000

    def reasons(self, structures: Sequence[Structure]) -> list[str | None]:
        """For each structure why it may not pass, or None."""
        return [self._size(s) or self._cell(s) or self._contents(s) or self._distances(s) for s in structures]

    def _size(self, structure: Structure) -> str | None:
        if not all(structure.lattice.pbc):
            return "the cell is not periodic in three directions"
        if len(structure) > self.max_atoms:
            return f"{len(structure)} atoms, more than the {self.max_atoms} that are relaxed"
        if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
            return "the cell or the coordinates are not finite numbers"
        return None

    def _cell(self, structure: Structure) -> str | None:
        reason = VolumePerAtom(self.min_volume, self.max_volume).check([structure]).reasons[0]
        if reason is not None:
            return reason
        cell = structure.lattice.matrix
        faces = np.linalg.norm(np.cross(np.roll(cell, -1, axis=0), np.roll(cell, -2, axis=0)), axis=1)
        height = structure.volume / faces.max()
        return f"the cell is only {height:.2g} Å high; reduce it first" if height < self.min_height else None

    def _contents(self, structure: Structure) -> str | None:
        unknown = sorted(set(structure.atomic_numbers) - self.elements)
        return f"the potential does not know {', '.join(symbols()[z] for z in unknown)}" if unknown else None

    def _distances(self, structure: Structure) -> str | None:
        reason = MinDistance(self.min_distance, self.radius_factor).check([structure]).reasons[0]
        if reason is not None:
            return reason
        centres = structure.get_neighbor_list(self.reach)[0]
        lonely = np.flatnonzero(np.bincount(centres, minlength=len(structure)) == 0)
        if len(lonely) == 0:
            return None
        site = structure[int(lonely[0])].specie
        return f"a {site} atom has no neighbour within {self.reach:g} Å"
