"""Guidance by constraints: predicted crystals move down the gradient of the penalties.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Batch

from matgen.features.neighbourhood import Neighbourhood
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

INTERVAL = 0.125
"""Time that a correction covers; penalties cost more than what predicted crystals change in less would tell them."""

LONGEST = 0.5
"""Largest displacement of one correction: Å for an atom, standard deviations for a number of the cell."""

_BEYOND = 1e-9
"""Added to a penalty, so that a quadratic one is left behind, not only neared."""

_TINY = 1e-12

_ROUNDING = 1e-6
"""In units of the interval; times are sums of steps."""


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

    @property
    def settling(self) -> int:
        """Corrections of finished crystals at most, each for those that still have a penalty."""
        return max((c.settling for c in self.constraints), default=0)

    def displacement(
        self, numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, settled: int = 0
    ) -> tuple[Tensor, Tensor]:
        """How coordinates (S, A, 3) and standardised cell (S, 6) should change.

        Args:
            numbers: (S, A) all determined.
            frac: (S, A, 3).
            cell: (S, 6) standardised.
            real: (S, A), False on padding.
            settled: Corrections that finished crystals had before.
        """
        cell, sizes = cell.detach(), real.sum(1)
        basis = stretch(self.model.restore(cell, sizes))
        found = []
        with torch.enable_grad():
            batch = batch_of(numbers, frac.detach(), basis, real)
            batch.neighbourhood = Neighbourhood(batch)
            leaves = batch.frac.requires_grad_(), batch.cell.requires_grad_()
            for constraint in (c for c in self.constraints if settled < c.settling):
                penalty = constraint.penalty(batch)
                if penalty.requires_grad and (penalty > 0).any():
                    down = torch.autograd.grad(penalty.sum(), leaves, allow_unused=True)
                    found.append((penalty.detach().to(frac), *map(_known, down, leaves)))
        moved, changed = torch.zeros_like(frac), torch.zeros_like(cell)
        if not found:
            return moved, changed
        basis = basis.detach()
        metric = torch.linalg.inv(basis @ basis.mT)
        shapes = self._in_cell(cell, sizes, torch.stack([of_basis for _, _, of_basis in found]))
        for (penalty, of_atoms, _), shape in zip(found, shapes, strict=True):
            along = torch.zeros_like(frac)
            along[real] = of_atoms
            natural = along @ metric
            squared = (along * natural).sum((1, 2)) + shape.square().sum(1)
            length = self.strength * torch.where(penalty > 0, penalty + _BEYOND, penalty) / squared.clamp_min(_TINY)
            furthest = torch.maximum((natural @ basis).norm(dim=-1).amax(1), shape.abs().amax(1))
            length = torch.minimum(length, LONGEST / furthest.clamp_min(_TINY))
            moved = moved - length[:, None, None] * natural
            changed = changed - length[:, None] * shape
        return moved, changed

    def _in_cell(self, cell: Tensor, sizes: Tensor, of_basis: Tensor) -> Tensor:
        """(C, S, 6) gradients with respect to the standardised cell, from those with respect to the vectors.

        Args:
            cell: (S, 6) standardised.
            sizes: (S,) numbers of atoms.
            of_basis: (C, S, 3, 3) gradients of C penalties.
        """
        many = len(of_basis)
        with torch.enable_grad():
            c = cell.repeat(many, 1).requires_grad_()
            basis = stretch(self.model.restore(c, sizes.repeat(many)))
            (down,) = torch.autograd.grad(basis, c, of_basis.flatten(0, 1))
        return down.nan_to_num().view(many, *cell.shape)


def _known(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient.nan_to_num()


def due(now: float, then: float) -> float:
    """Share of its displacement that a predicted crystal takes in the step between two times; 0 where none is due.

    The last step in each interval from :data:`BEGIN` on takes the share of all of them, (then - begun) / (1 - begun).
    """
    before, after = (int((t - BEGIN) / INTERVAL + _ROUNDING) for t in (now, then))
    if now < BEGIN or after <= before:
        return 0.0
    begun = BEGIN + before * INTERVAL
    return (then - begun) / (1 - begun)


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
