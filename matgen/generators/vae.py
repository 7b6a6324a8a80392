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
from matgen.generators.vae_chemistry import Chemistry, divergence, drawn, element_counts, exchanged
from matgen.generators.vae_decoding import decode_codes, fitness
from matgen.generators.vae_encoder import Encoder
from matgen.generators.vae_heads import finish_heads

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
    """Variational autoencoder: one permutation-invariant code a crystal, of chemistry and geometry, decoded by a flow.

    Args:
        code: C.
        chemistry: So many numbers of it, the first (half if not given), hold the composition of the cell and nothing
            else; the others hold what the decoder is to make of that composition.
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
        chemistry: int | None = None,
        encoder_width: int = 96,
        encoder_layers: int = 3,
        neighbours: int = 12,
        kl: float = 1e-3,
        free: float = 0.5,
        decoder_share: float = 1.0,
        **settings: Any,
    ) -> None:
        chemistry = code // 2 if chemistry is None else chemistry
        super().__init__(
            **settings,
            code=code,
            chemistry=chemistry,
            encoder_width=encoder_width,
            encoder_layers=encoder_layers,
            neighbours=neighbours,
            kl=kl,
            free=free,
            decoder_share=decoder_share,
        )
        width = self.config["width"]
        self.code_size, self.chemical_size, self.decoder_share = code, chemistry, decoder_share
        self.kl, self.free = kl, free
        self.chemistry = Chemistry(chemistry, self.max_atoms)
        self.encoder = Encoder(code - chemistry, encoder_width, encoder_layers, neighbours)
        last = nn.Linear(width // 2, width)
        self.steer = nn.Sequential(nn.Linear(code - chemistry, width // 2), nn.SiLU(), last)
        # A decoder that starts from a trained flow begins as that flow.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.property_head = nn.Sequential(nn.Linear(code, 128), nn.SiLU(), nn.Linear(128, len(self.targets)))
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
        counts = element_counts(batch)
        mean, log_variance = self.posterior(batch, x1, counts)
        code = drawn(mean, log_variance, rng)
        decoded = torch.randperm(len(code), generator=rng)[: math.ceil(self.decoder_share * len(code))]
        losses = self._decoder_losses(x1[decoded], code[decoded], rng)
        other = exchanged(counts, self.elements, rng)
        chemical_mean, chemical_log_variance = self.chemistry(other)
        chemistry = self.chemistry.losses(drawn(chemical_mean, chemical_log_variance, rng), other)
        parts = {
            **chemistry,
            "property": self.property_loss(code, self.targets_of(batch)),
            "divergence": divergence(mean, log_variance).clamp_min(self.free).sum(),
            "code_flow": self.code_flow.loss(code.detach(), rng),
        }
        total = losses["loss"] + parts["composition"] + 0.3 * parts["size"] + 0.2 * parts["property"]
        total = total + self.kl * parts["divergence"] + parts["code_flow"]
        shown = {"coordinate": losses["coordinate"], "cell": losses["cell"], **parts}
        return {"loss": total, **{name: value.detach() for name, value in shown.items()}}

    def posterior(self, batch: Batch, x: Crystals, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (S, C) of the codes of crystals in reduced cells.

        Args:
            batch: The crystals.
            x: Their dense view.
            counts: (S, 119) atoms of each element.
        """
        parts = zip(self.chemistry(counts), self.encoder(batch, self.standardise(x.cell, x.real.sum(1))), strict=True)
        mean, log_variance = (torch.cat(part, dim=-1) for part in parts)
        return mean, log_variance

    def finish(self, data: TrainingSet, rng: torch.Generator, steps: int = 4_000, batch: int = 512) -> None:
        """Go on with the chemical part alone, then fit heads and code flow on the codes; both cost minutes.

        Args:
            data: What the autoencoder was trained on.
            rng: Of the noise of the codes and the order.
            steps: Steps of AdamW.
            batch: Codes in a step.
        """
        finish_heads(self, data, rng, steps, batch)

    def property_loss(self, code: Tensor, wanted: Tensor) -> Tensor:
        """Error of the properties read from codes (S, C), of standardised targets (S, T), NaN where unknown."""
        known = ~wanted.isnan()
        miss = F.smooth_l1_loss(self.property_head(code).float()[known], wanted[known], reduction="sum")
        return miss / max(len(code), 1)

    def velocities(
        self, numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor, code: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Velocities and element logits under codes (S, C); the rest as for :meth:`forward`."""
        s = len(numbers)
        given = torch.ones(s, dtype=torch.bool)
        group = torch.full((s,), UNKNOWN_GROUP)
        steer = self.steer(code[:, self.chemical_size :])
        return self(numbers, frac, cell, real, t, given, group, torch.zeros(s, 0), steer)

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
        return self.posterior(batch, Crystals.of(batch), element_counts(batch))[0]

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

    def crossed(self, stoichiometry: Tensor, geometry: Tensor) -> Tensor:
        """Codes (S, C) with the composition of the first and the geometry of the second codes (S, C)."""
        return torch.cat([stoichiometry[:, : self.chemical_size], geometry[:, self.chemical_size :]], dim=-1)

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
