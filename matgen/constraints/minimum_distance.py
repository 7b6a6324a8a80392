"""Atoms keep their distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.elements import covalent_radius, symbols
from matgen.errors import ConfigError
from matgen.features.distances import shortest_distances
from matgen.features.neighbourhood import Neighbourhood

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

BLANK = 1.0
"""Penalty of a cell that is degenerate or not finite, Å²."""


@CONSTRAINTS.register("min_distance")
@dataclass(frozen=True)
class MinDistance(Constraint):
    """No two atoms, periodic images included, are closer than a limit for their pair.

    The limit of a pair is ``max(absolute, radius_factor * (r_i + r_j))`` with covalent radii of Cordero et al., Dalton
    Trans. 2008, 2832. With ``radius_factor=0`` and ``absolute=0.5`` this is the field's structural validity (Xie et
    al., arXiv:2110.06197), made stricter in one point: an atom's own images count.

    The score is the smallest distance in units of its limit: 1 or more passes. The penalty is the sum over pairs,
    each periodic image by itself, of the squared shortfall, in Å².

    Args:
        absolute: Limit for every pair, Å.
        radius_factor: Share of the sum of covalent radii, 0 to 1; 0 switches it off.
    """

    name: ClassVar[str] = "min_distance"

    absolute: float = 0.5
    radius_factor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.absolute <= 5 or not 0 <= self.radius_factor <= 1:
            raise ConfigError(
                f"absolute={self.absolute} Å, radius_factor={self.radius_factor}.",
                where=self.name,
                fix="Give 0 < absolute <= 5 and 0 <= radius_factor <= 1.",
            )

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every pair keeps its limit."""
        found = [self._judge(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) Sum over pairs of ``max(0, limit - distance)²`` in Å²; 1 for a cell that is degenerate or not finite."""
        import torch

        around, limits = Neighbourhood.of(batch), self.limits()
        kinds = batch.numbers.cpu().numpy()
        largest = [limits[np.ix_(z, z)].max(initial=0.0) for z in map(np.unique, around.split(kinds))]
        pairs = around.within(np.array(largest))
        limit = limits[kinds[pairs.centre], kinds[pairs.other]]
        near = pairs.distance < limit
        pairs, limit = pairs[near], limit[near]
        short = (torch.as_tensor(limit).to(batch.cell) - pairs.lengths(batch)).clamp_min(0)
        # Each pair comes in both orders.
        return around.summed(pairs.system, short.square() / 2, BLANK)

    def limits(self) -> np.ndarray:
        """(119, 119) limit in Å by the two atomic numbers."""
        radii = np.nan_to_num(covalent_radius())
        return np.maximum(self.absolute, self.radius_factor * (radii[:, None] + radii))

    def _judge(self, structure: Structure) -> tuple[float, str | None]:
        if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
            return 0.0, "the cell or the coordinates are not finite numbers"
        numbers = np.array(structure.atomic_numbers)
        distance = shortest_distances(structure.frac_coords, structure.lattice.matrix)
        limit = self.limits()[numbers[:, None], numbers]
        ratio = distance / limit
        i, j = np.unravel_index(np.argmin(ratio), ratio.shape)
        score = float(ratio[i, j])
        if score >= 1:
            return score, None
        if not distance.any():
            return score, "the cell is degenerate: its vectors do not span a volume"
        first, second = symbols()[numbers[i]], symbols()[numbers[j]]
        pair = f"{first} and its own periodic image" if i == j else f"{first} and {second}"
        return score, f"{pair} are {distance[i, j]:.2f} Å apart, closer than the allowed {limit[i, j]:.2f} Å"
