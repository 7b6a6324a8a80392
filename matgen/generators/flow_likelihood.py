"""Likelihood of a flow: the divergence of its velocity integrated from data to noise.

log p1(x1) = log p0(x0) - ∫ div v dt along dx/dt = v (Chen et al., arXiv:1806.07366), the divergence estimated by
Hutchinson's trace with random signs (Grathwohl et al., arXiv:1810.01367). Shapes: S systems, A atoms.
"""

from __future__ import annotations

from math import log, pi
from typing import TYPE_CHECKING

import torch

from matgen.generators.dense import Crystals
from matgen.generators.periodic import UNKNOWN_GROUP

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.generators.periodic import PeriodicGenerator


def flow_log_prob(model: PeriodicGenerator, batch: Batch, rng: torch.Generator, steps: int, probes: int) -> Tensor:
    """(S,) log density in nats of coordinates and cell, given the elements and the number of atoms.

    Args:
        model: A trained flow.
        batch: Crystals in reduced cells.
        rng: Of the probes.
        steps: Euler steps from data to noise, each with the velocity at the middle of its time.
        probes: Random vectors for the trace in each step.
    """
    x = Crystals.of(batch)
    s = len(x.numbers)
    sizes = x.real.sum(1)
    given, group = torch.ones(s, dtype=torch.bool), torch.full((s,), UNKNOWN_GROUP)
    absent = torch.full((s, model.target_mean.numel()), torch.nan)

    def slope(frac: Tensor, cell: Tensor, time: float) -> tuple[Tensor, Tensor, Tensor]:
        frac, cell = frac.detach().requires_grad_(), cell.detach().requires_grad_()
        t = torch.full((s,), time)
        v_frac, v_cell, _ = model(x.numbers, frac, cell, x.real, t, given, group, absent)
        trace = torch.zeros(s)
        for _ in range(probes):
            signs = [torch.randint(0, 2, v.shape, generator=rng) * 2.0 - 1.0 for v in (frac, cell)]
            signs[0] = signs[0] * x.real[..., None]
            along = (v_frac * signs[0]).sum() + (v_cell * signs[1]).sum()
            parts = torch.autograd.grad(along, (frac, cell), retain_graph=True)
            trace = trace + sum((g * e).flatten(1).sum(1) for g, e in zip(parts, signs, strict=True)) / probes
        return v_frac.detach(), v_cell.detach(), trace.detach()

    frac, cell = x.frac, model.standardise(x.cell, sizes)
    change, dt = torch.zeros(s), 1 / steps
    with torch.enable_grad():
        for k in range(steps):
            v_frac, v_cell, trace = slope(frac, cell, 1 - (k + 0.5) * dt)
            frac, cell, change = (frac - dt * v_frac) % 1.0, cell - dt * v_cell, change + dt * trace
    noise = -cell.square().sum(1) / 2 - 3 * log(2 * pi)  # the uniform density of the coordinates is 1
    return noise - change - model.cell_std.log().sum()
