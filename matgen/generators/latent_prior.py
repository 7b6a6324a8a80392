"""A learned distribution of latent codes: flow matching with a small network, the diffusion of a latent space.

Shapes: S codes, C size of a code.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from matgen.generators.paths import straight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class CodeFlow(nn.Module):
    """Velocity field from standard normal noise (t = 0) to codes (t = 1), after Lipman et al., arXiv:2210.02747.

    Args:
        code: C.
        width: Of the hidden layers.
        layers: Number of residual blocks.
    """

    waves: Tensor

    def __init__(self, code: int, width: int = 160, layers: int = 2) -> None:
        super().__init__()
        self.register_buffer("waves", pi * 2.0 ** torch.arange(4), persistent=False)
        self.enter = nn.Linear(code + 9, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(layers)
        )
        self.leave = nn.Linear(width, code)

    def forward(self, code: Tensor, t: Tensor) -> Tensor:
        """Velocity (S, C) at ``code (S, C)`` and time ``t (S,)``."""
        phase = t[:, None] * self.waves
        h = self.enter(torch.cat([code, t[:, None], phase.sin(), phase.cos()], dim=-1))
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h)

    def loss(self, codes: Tensor, rng: torch.Generator, draws: int = 4) -> Tensor:
        """Mean squared error of the velocity, at ``draws`` times and noises for each code (S, C)."""
        codes = codes.repeat(draws, 1)
        noise = torch.randn(codes.shape, generator=rng)
        t = torch.rand(len(codes), generator=rng)
        x, velocity = straight(noise, codes, t)
        return (self(x, t) - velocity).square().mean()

    @torch.no_grad()
    def sample(self, noise: Tensor, steps: int = 32) -> Tensor:
        """Codes (S, C) from standard normal noise (S, C) by Heun steps."""
        x = noise
        for now, then in pairwise(torch.linspace(0, 1, steps + 1).tolist()):
            first = self(x, torch.full((len(x),), now))
            second = self(x + (then - now) * first, torch.full((len(x),), then))
            x = x + (then - now) * (first + second) / 2
        return x


def fit_on_codes(
    heads: Sequence[nn.Module],
    loss: Callable[[Tensor, Tensor], Tensor],
    posterior: tuple[Tensor, Tensor],
    rng: torch.Generator,
    steps: int,
    batch: int,
) -> None:
    """Fit in place what learns from codes alone; the autoencoder that they come from stays as it is.

    Args:
        heads: What is fitted.
        loss: Of noisy codes (B, C) and the rows (B,) that they belong to.
        posterior: Mean and standard deviation (S, C) of every code.
        rng: Of order and noise.
        steps: Steps of AdamW.
        batch: B.
    """
    mean, deviation = posterior
    weights = [weight.requires_grad_() for head in heads for weight in head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        rows = torch.randint(len(mean), (batch,), generator=rng)
        code = mean[rows] + deviation[rows] * torch.randn(mean[rows].shape, generator=rng)
        optimizer.zero_grad()
        loss(code, rows).backward()
        optimizer.step()
        schedule.step()
    for weight in weights:
        weight.requires_grad_(False)
