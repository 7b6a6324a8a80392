"""A given cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pymatgen.core import Lattice

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch_geometric.data import Batch


@CONSTRAINTS.register("lattice")
@dataclass(frozen=True)
class FixedLattice(Constraint):
    """The cell has given lengths and angles, as a substrate or a known phase dictates.

    Cells are compared as they stand, without reduction. The score is the largest deviation of a length from its value,
    in Å, or of an angle, in degrees, whichever is larger in units of its tolerance. Projection sets the cell and
    keeps fractional coordinates.

    Args:
        a, b, c: Lengths, Å.
        alpha, beta, gamma: Angles, degrees.
        tolerance: Allowed deviation of a length, Å.
        angle_tolerance: Allowed deviation of an angle, degrees.
    """

    name: ClassVar[str] = "lattice"

    a: float
    b: float
    c: float
    alpha: float = 90.0
    beta: float = 90.0
    gamma: float = 90.0
    tolerance: float = 0.01
    angle_tolerance: float = 0.1

    def __post_init__(self) -> None:
        lengths, angles = (self.a, self.b, self.c), (self.alpha, self.beta, self.gamma)
        cosines = np.cos(np.radians(angles))
        spans = 1 - (cosines**2).sum() + 2 * cosines.prod() > 1e-6
        if min(*lengths, self.tolerance, self.angle_tolerance) <= 0 or not spans:
            raise ConfigError(
                f"a, b, c = {lengths} Å, alpha, beta, gamma = {angles} degrees.",
                where=self.name,
                fix="Give positive lengths and angles that span a volume.",
            )

    @property
    def lattice(self) -> Lattice:
        """The wanted cell."""
        return Lattice.from_parameters(self.a, self.b, self.c, self.alpha, self.beta, self.gamma)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where all lengths and angles agree."""
        found = [self._judge(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def project(self, batch: Batch) -> Batch:
        """The same fractional coordinates in the wanted cell; cells that agree exactly keep their orientation."""
        import torch

        wanted = torch.as_tensor(self.lattice.matrix.copy()).to(batch.cell)
        metric = wanted @ wanted.mT
        same = (batch.cell @ batch.cell.mT - metric).abs().amax((1, 2)) <= 1e-9 * metric.abs().max()
        projected = batch.clone()
        projected.cell = torch.where(same[:, None, None], batch.cell, wanted)
        return projected

    def _judge(self, structure: Structure) -> tuple[float, str | None]:
        wanted, found = np.array(self.lattice.parameters), np.array(structure.lattice.parameters)
        off = np.abs(found - wanted)
        worst = int(np.argmax(off / ([self.tolerance] * 3 + [self.angle_tolerance] * 3)))
        limit, unit = (self.tolerance, "Å") if worst < 3 else (self.angle_tolerance, "degrees")
        if off[worst] <= limit:
            return float(off[worst]), None
        label = ("a", "b", "c", "alpha", "beta", "gamma")[worst]
        return float(off[worst]), f"{label} is {found[worst]:.3f} {unit}, wanted {wanted[worst]:.3f} {unit}"
