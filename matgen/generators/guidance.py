"""Guidance by constraints: predicted crystals move down the gradient of the penalties.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Batch

from matgen.nn.cell import stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from matgen.constraints.base import Constraint
    from matgen.generators.periodic import PeriodicGenerator

STRENGTH = 1.5
"""Default strength: twice the squared shortfall of a pair vanishes at 2, a linear penalty at 1."""

BEGIN = 0.5
"""Time from which predicted crystals are good enough to be corrected."""

LONGEST = 0.5
"""Largest displacement of one correction: Å for an atom, standard deviations for a number of the cell."""

SETTLING = 10
"""Corrections of finished crystals at most, each for those that still have a penalty."""

_BEYOND = 1e-9
"""Added to a penalty, so that a quadratic one is left behind, not only neared."""

_TINY = 1e-12


@dataclass(frozen=True)
class Guidance:
    """Displacements that lower the penalties of constraints, each by Polyak's step.

    Δx = -s P ∇P / |∇P|², with the strength s (Polyak, USSR Comput. Math. Math. Phys. 9, 14, 1969): whatever the unit
    of a penalty, s = 1 would bring a linear one to zero. Lengths of ∇P are measured in Å for coordinates, so in
    fractional ones the step is along ∇P (C Cᵀ)⁻¹ with the cell C, and in standard deviations for the cell.

    Args:
        model: Knows the scale of the cell.
        constraints: Those that act as a penalty take part.
        strength: s; 0 switches guidance off.
    """

    model: PeriodicGenerator
    constraints: Sequence[Constraint]
    strength: float = STRENGTH

    @classmethod
    def of(cls, model: PeriodicGenerator, constraints: Sequence[Constraint], strength: float) -> Guidance:
        """The guidance of those constraints that act as a penalty."""
        return cls(model, [c for c in constraints if c.guides and c.acts_as("penalty")] if strength else [], strength)

    def displacement(self, numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """How coordinates (S, A, 3) and standardised cell (S, 6) should change.

        Args:
            numbers: (S, A) all determined.
            frac: (S, A, 3).
            cell: (S, 6) standardised.
            real: (S, A), False on padding.
        """
        moved, changed = torch.zeros_like(frac), torch.zeros_like(cell)
        for constraint in self.constraints:
            step = self._step(constraint, numbers, frac, cell, real)
            if step is not None:
                moved, changed = moved + step[0], changed + step[1]
        return moved, changed

    def _step(
        self, constraint: Constraint, numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        with torch.enable_grad():
            f, c = frac.detach().requires_grad_(), cell.detach().requires_grad_()
            basis = stretch(self.model.restore(c, real.sum(1)))
            penalty = constraint.penalty(batch_of(numbers, f, basis, real))
            if not penalty.requires_grad or not (penalty > 0).any():
                return None
            down = torch.autograd.grad(penalty.sum(), (f, c), allow_unused=True)
        along, shape = (torch.zeros_like(x) if g is None else g.nan_to_num() for x, g in zip((f, c), down, strict=True))
        basis, penalty = basis.detach(), penalty.detach().to(frac)
        natural = along @ torch.linalg.inv(basis @ basis.mT)
        squared = (along * natural).sum((1, 2)) + shape.square().sum(1)
        length = self.strength * torch.where(penalty > 0, penalty + _BEYOND, penalty) / squared.clamp_min(_TINY)
        furthest = torch.maximum((natural @ basis).norm(dim=-1).amax(1), shape.abs().amax(1))
        length = torch.minimum(length, LONGEST / furthest.clamp_min(_TINY))
        return -length[:, None, None] * natural, -length[:, None] * shape


def batch_of(numbers: Tensor, frac: Tensor, basis: Tensor, real: Tensor) -> Batch:
    """Padded elements (S, A) and coordinates (S, A, 3) with cells (S, 3, 3) as a batch."""
    sizes = real.sum(1)
    return Batch(
        batch=torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes),
        ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]),
        numbers=numbers[real],
        frac=frac[real],
        cell=basis,
        pbc=torch.ones(len(sizes), 3, dtype=torch.bool, device=sizes.device),
    )
