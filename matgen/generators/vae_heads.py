"""The second stage of a VAE's training: what is read from codes, and how codes are distributed.

Shapes: S systems, C size of a code, T targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from matgen.generators.dense import Crystals
from matgen.generators.latent_prior import fit_on_codes

if TYPE_CHECKING:
    from torch_geometric.data import Batch

    from matgen.data.batches import TrainingSet
    from matgen.generators.vae import VAE

CHUNK = 256
"""Crystals that are encoded together."""


def element_shares(batch: Batch) -> Tensor:
    """(S, 119) shares of the elements in each crystal."""
    counts = torch.zeros(batch.num_graphs, 119)
    counts.index_put_((batch.batch, batch.numbers), torch.ones(len(batch.numbers)), accumulate=True)
    return counts / counts.sum(1, keepdim=True)


@torch.no_grad()
def posterior(model: VAE, data: TrainingSet) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (S, C) of every crystal's code."""
    parts = []
    for indices in torch.arange(len(data)).split(CHUNK):
        batch = data.batch(indices)
        x = Crystals.of(batch)
        parts.append(model.encoder(batch, model.standardise(x.cell, x.real.sum(1))))
    means, log_variances = zip(*parts, strict=True)
    return torch.cat(means), (torch.cat(log_variances) / 2).exp()


def finish_heads(model: VAE, data: TrainingSet, rng: torch.Generator, steps: int, batch: int) -> None:
    """Fit heads and code flow in place on noisy codes; the encoder and the decoder stay as they are."""
    everything = data.batch(torch.arange(len(data)))
    shares, wanted = element_shares(everything), model.targets_of(everything)

    def loss(code: Tensor, rows: Tensor) -> Tensor:
        losses = model.code_losses(code, shares[rows], data.sizes[rows], wanted[rows])
        return sum(losses.values(), start=model.code_flow.loss(code, rng, draws=1))

    heads = [model.composition_head, model.size_head, model.property_head, model.code_flow]
    fit_on_codes(heads, loss, posterior(model, data), rng, steps, batch)
