"""The second stage of a VAE's training: what is read from codes, and how codes are distributed.

Shapes: S systems, C size of a code, T targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from matgen.generators.dense import Crystals
from matgen.generators.latent_prior import fit_on_codes
from matgen.generators.vae_chemistry import element_counts, fit_chemistry

if TYPE_CHECKING:
    from matgen.data.batches import TrainingSet
    from matgen.generators.vae import VAE

CHUNK = 256
"""Crystals that are encoded together."""

CHEMISTRY = 4
"""Steps of the chemical part for one of the heads."""


@torch.no_grad()
def posterior(model: VAE, data: TrainingSet) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (S, C) of every crystal's code."""
    parts = []
    for indices in torch.arange(len(data)).split(CHUNK):
        batch = data.batch(indices)
        parts.append(model.posterior(batch, Crystals.of(batch), element_counts(batch)))
    means, log_variances = zip(*parts, strict=True)
    return torch.cat(means), (torch.cat(log_variances) / 2).exp()


def finish_heads(model: VAE, data: TrainingSet, rng: torch.Generator, steps: int, batch: int) -> None:
    """Fit the chemical part, then heads and code flow, in place; what concerns geometry stays as it is."""
    everything = data.batch(torch.arange(len(data)))
    counts, wanted = element_counts(everything), model.targets_of(everything)
    fit_chemistry(model.chemistry, counts, model.elements, model.kl, rng, CHEMISTRY * steps, batch // 2)

    def loss(code: Tensor, rows: Tensor) -> Tensor:
        losses = [*model.chemistry.losses(code, counts[rows]).values(), model.property_loss(code, wanted[rows])]
        return sum(losses, start=model.code_flow.loss(code, rng, draws=1))

    heads = [model.chemistry.shares, model.chemistry.size, model.property_head, model.code_flow]
    fit_on_codes(heads, loss, posterior(model, data), rng, steps, batch)
