"""A variational autoencoder of crystals: message passing to one code, and a flow that is steered by it.

Encoder and code: Kingma & Welling, arXiv:1312.6114, with free bits (Kingma et al., arXiv:1606.04934). Size and
composition are read from the code; coordinates and cell are drawn by the flow of :mod:`matgen.generators.flow`, with
the code in its condition. A small flow learns how codes are distributed (latent diffusion, Rombach et al.,
arXiv:2112.10752) beside the autoencoder, without pulling at it.

Shapes: S systems, A atoms, C size of a code, T targets, D width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.generators.autoencoder import Autoencoder
from matgen.generators.base import GENERATORS
from matgen.generators.dense import Crystals
from matgen.generators.flow_sampler import Integration
from matgen.generators.latent_prior import CodeFlow
from matgen.generators.paths import pair_noise, straight, torus
from matgen.generators.periodic import UNKNOWN_GROUP, PeriodicGenerator, field_losses
from matgen.generators.vae_decoding import decode_codes, fitness
from matgen.generators.vae_encoder import Encoder
from matgen.generators.vae_heads import element_shares, finish_heads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.batches import TrainingSet
    from matgen.data.request import Request
    from matgen.runtime import Streams


@GENERATORS.register("vae")
class VAE(Autoencoder, PeriodicGenerator):
    """Variational autoencoder: one permutation-invariant code a crystal, decoded by a flow.

    Args:
        code: C.
        encoder_width, encoder_layers, neighbours: Size of the :class:`Encoder`.
        kl: Weight of the divergence from the standard normal, for each nat.
        free: Nats of each dimension that cost nothing.
        decoder_share: Share of a batch, drawn at random, on which the decoder is trained; the encoder, which is much
            cheaper, sees all of it.
        targets: Properties that are predicted from the code.
        settings: Of the decoder, see :class:`matgen.generators.periodic.PeriodicGenerator`.
    """

    name = "vae"
    conditions = frozenset({"formula", "chemical_system", "n_atoms"})
    acts = frozenset({"mask", "penalty"})
    steered_by_targets = False

    def __init__(
        self,
        code: int = 64,
        encoder_width: int = 96,
        encoder_layers: int = 3,
        neighbours: int = 12,
        kl: float = 1e-3,
        free: float = 0.5,
        decoder_share: float = 1.0,
        **settings: Any,
    ) -> None:
        super().__init__(
            **settings,
            code=code,
            encoder_width=encoder_width,
            encoder_layers=encoder_layers,
            neighbours=neighbours,
            kl=kl,
            free=free,
            decoder_share=decoder_share,
        )
        width = self.config["width"]
        self.code_size, self.kl, self.free, self.decoder_share = code, kl, free, decoder_share
        self.encoder = Encoder(code, encoder_width, encoder_layers, neighbours)
        last = nn.Linear(width // 2, width)
        self.steer = nn.Sequential(nn.Linear(code, width // 2), nn.SiLU(), last)
        # A decoder that starts from a trained flow begins as that flow.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.composition_head = _head(code, 119)
        self.size_head = _head(code, self.max_atoms + 1)
        self.property_head = _head(code, len(self.targets))
        self.code_flow = CodeFlow(code)

    def gather_plain(
        self, sources: Sequence[str | Path], exclude: str | Path | None, max_atoms: int
    ) -> tuple[pd.DataFrame, TrainingSet]:
        """Rows and tensors of crystals, without the properties that only the autoencoder learned from."""
        from matgen.generators.training import gather_structures

        return gather_structures(sources, exclude, max_atoms, [])

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Velocity errors given the code, and errors of composition, size and properties; divergence; code flow."""
        x1 = Crystals.of(batch)
        sizes = x1.real.sum(1)
        mean, log_variance = self.encoder(batch, self.standardise(x1.cell, sizes))
        code = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
        decoded = torch.randperm(len(code), generator=rng)[: math.ceil(self.decoder_share * len(code))]
        losses = self._decoder_losses(x1[decoded], code[decoded], rng)
        parts = {
            **self.code_losses(code, element_shares(batch), sizes, self.targets_of(batch)),
            "divergence": self._divergence(mean, log_variance),
            "code_flow": self.code_flow.loss(code.detach(), rng),
        }
        total = losses["loss"] + parts["composition"] + 0.3 * parts["size"] + 0.2 * parts["property"]
        total = total + self.kl * parts["divergence"] + parts["code_flow"]
        shown = {"coordinate": losses["coordinate"], "cell": losses["cell"], **parts}
        return {"loss": total, **{name: value.detach() for name, value in shown.items()}}

    def finish(self, data: TrainingSet, rng: torch.Generator, steps: int = 4_000, batch: int = 512) -> None:
        """Fit heads and code flow on the codes of the trained encoder, which costs minutes and sharpens them.

        Args:
            data: What the autoencoder was trained on.
            rng: Of the noise of the codes and the order.
            steps: Steps of AdamW.
            batch: Codes in a step.
        """
        finish_heads(self, data, rng, steps, batch)

    def code_losses(self, code: Tensor, shares: Tensor, sizes: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Errors of what is read from codes (S, C).

        Args:
            code: (S, C).
            shares: (S, 119) true shares of the elements.
            sizes: (S,) true numbers of atoms.
            wanted: (S, T) standardised targets, NaN where unknown.
        """
        known = ~wanted.isnan()
        miss = F.smooth_l1_loss(self.property_head(code)[known], wanted[known], reduction="sum")
        return {
            "composition": -(self.composition_head(code).log_softmax(-1) * shares).sum(-1).mean(),
            "size": F.cross_entropy(self.size_head(code), sizes),
            "property": miss / max(len(code), 1),
        }

    def velocities(
        self, numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor, code: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Velocities and element logits under codes (S, C); the rest as for :meth:`forward`."""
        s = len(numbers)
        given = torch.ones(s, dtype=torch.bool)
        group = torch.full((s,), UNKNOWN_GROUP)
        return self(numbers, frac, cell, real, t, given, group, torch.zeros(s, 0), self.steer(code))

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Codes (S, C): the means of the posterior. Cells are reduced first, so any choice of cell will do."""
        from matgen.data.batches import canonical
        from matgen.data.structures import from_data, to_batch

        return self.encode_prepared(
            to_batch([canonical(from_data(crystal)) for crystal in Crystals.of(batch).systems()])
        )

    @torch.no_grad()
    def encode_prepared(self, batch: Batch) -> Tensor:
        """Codes (S, C) of crystals whose cells are reduced already, as those of a training set are."""
        x = Crystals.of(batch)
        mean, _ = self.encoder(batch, self.standardise(x.cell, x.real.sum(1)))
        return mean

    def decode(
        self,
        codes: Tensor,
        *,
        rng: Streams,
        requests: Sequence[Request] | None = None,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One crystal for each code.

        Args:
            codes: (S, C).
            rng: Streams by index of the code, for the noise that the decoder starts from.
            requests: What of size and composition is fixed instead of read from each code.
            constraints: Those with a mask restrict the elements.
            options: Of :class:`matgen.generators.flow_sampler.Integration`: ``steps``, ``annealing``, ``churn``.
        """
        return decode_codes(self, codes, Integration(**options), rng=rng, requests=requests, constraints=constraints)

    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) as those of the training data are distributed, from standard normal noise (S, C)."""
        return self.code_flow.sample(noise)

    @torch.no_grad()
    def properties(self, codes: Tensor) -> dict[str, Tensor]:
        """Predicted targets (S,) by name, in the property's unit."""
        values = self.property_head(codes) * self.target_std + self.target_mean
        return dict(zip(self.targets, values.unbind(1), strict=True))

    def fitness(self, codes: Tensor, request: Request, constraints: Sequence[Constraint]) -> Tensor:
        """(S,) log probability of what is asked under what codes (S, C) say about size and composition."""
        return fitness(self, codes, request, constraints)

    def chooses(self, request: Request, constraints: Sequence[Constraint]) -> bool:
        """Codes are chosen wherever anything is asked."""
        return bool(request.given or constraints)

    def _decoder_losses(self, x1: Crystals, code: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Velocity errors of coordinates and cell under the codes (S, C) of the crystals."""
        s, a = x1.numbers.shape
        t = 1 - torch.rand(s, generator=rng).pow(1.25) * 0.999
        noise = pair_noise(torch.rand(s, a, 3, generator=rng), x1.frac, x1.numbers, x1.real)
        frac, frac_velocity = torus(noise, x1.frac, t)
        clean = self.standardise(x1.cell, x1.real.sum(1))
        cell, cell_velocity = straight(torch.randn(s, 6, generator=rng), clean, t)
        predicted = self.velocities(x1.numbers, frac, cell, x1.real, t, code)
        return field_losses(predicted, (frac_velocity, cell_velocity), x1, torch.zeros_like(x1.real))

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Nats from the standard normal in a code, of which ``free`` in each dimension do not count."""
        nats = (mean.square() + log_variance.exp() - log_variance - 1) / 2
        return nats.mean(0).clamp_min(self.free).sum()


def _head(code: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(code, 128), nn.SiLU(), nn.Linear(128, out))
