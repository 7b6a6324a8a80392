"""Invertible spline couplings on the codes of an autoencoder: exact likelihood, sampling in one pass.

Rational-quadratic neural splines (Durkan et al., arXiv:1906.04032) in coupling layers, from the package zuko. A density
may rank what it never saw above the data (Nalisnick et al., arXiv:1810.09136), so the training can show crystals with
permuted elements too, which are to be less likely (outlier exposure, Hendrycks et al., arXiv:1812.04606).
Shapes: S systems, C size of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from matgen.errors import ConfigError
from matgen.generators.arrangement import rearranged
from matgen.generators.base import GENERATORS
from matgen.generators.latent import LatentGenerator
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.data.batches import TrainingSet


CONTRASTED = 128
"""Crystals of a batch that are ranked against permuted ones, which doubles what they cost."""


@GENERATORS.register("normalizing-flow")
class NormalizingFlow(LatentGenerator):
    """Coupling flow on the codes of an autoencoder, with exact likelihood.

    Args:
        transforms: Number of coupling layers.
        width: Of their two hidden layers.
        bins: Of each spline.
        contrast: Weight of :meth:`ranking`; 0 trains by likelihood alone.
        settings: As of :class:`LatentGenerator`.
    """

    name = "normalizing-flow"

    def __init__(
        self, transforms: int = 6, width: int = 128, bins: int = 8, contrast: float = 0.0, **settings: Any
    ) -> None:
        super().__init__(transforms=transforms, width=width, bins=bins, contrast=contrast, **settings)
        zuko = require("zuko", "latent")
        if contrast and self.proposes != "crystals":
            raise ConfigError("only crystals have elements to permute.", where="contrast", fix="Leave it 0.")
        self.contrast = contrast
        self.bijection = zuko.flows.NSF(
            self.code_size, transforms=transforms, bins=bins, passes=2, hidden_features=(width, width)
        )

    def gather(self, sources: Sequence[str | Path], exclude: str | Path | None) -> tuple[pd.DataFrame, TrainingSet]:
        """As of :class:`LatentGenerator`; where they count, with the code of each crystal with permuted elements."""
        table, data = super().gather(sources, exclude)
        if self.contrast:
            rng = torch.Generator().manual_seed(0)
            parts = torch.arange(len(data)).split(256)
            data.system["permuted_code"] = torch.cat([self._permuted_codes(data.batch(part), rng) for part in parts])
        return table, data

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Negative log likelihood in nats a dimension, and where it counts :meth:`ranking`."""
        losses = super().loss(batch, rng)
        if not self.contrast:
            return losses
        codes = batch.code if "code" in batch else self.autoencoder.encode_prepared(batch)
        permuted = batch.permuted_code if "permuted_code" in batch else self._permuted_codes(batch, rng)
        rows = torch.randperm(len(codes), generator=rng)[:CONTRASTED]
        others = rows[(codes[rows] != permuted[rows]).any(1)]  # of one element there is nothing to permute
        both = (torch.cat([codes[rows], permuted[others]]) - self.code_mean) / self.code_std
        density = self.bijection().log_prob(_blurred(both, rng))
        ranking = self.ranking(density[: len(rows)], density[len(rows) :])
        likelihood = losses["loss"]
        return {
            "loss": likelihood + self.contrast * ranking,
            "likelihood": likelihood.detach(),
            "ranking": ranking.detach(),
        }

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Negative log likelihood of codes (S, C) in nats a dimension."""
        return {"loss": -self.bijection().log_prob(_blurred(codes, rng)).mean() / self.code_size}

    def ranking(self, density: Tensor, permuted: Tensor) -> Tensor:
        """How far crystals are from being likelier than any crystal with permuted elements, softplus(4 - Δ).

        Args:
            density: (S,) log densities in nats.
            permuted: (P,) of the others; Δ are all S P differences in nats a sixteenth of the code.
        """
        difference = (density[:, None] - permuted) * 16 / self.code_size
        return F.softplus(4 - difference).mean() if len(permuted) else difference.sum()

    @torch.no_grad()
    def _permuted_codes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """(S, C)."""
        return self.autoencoder.encode_prepared(rearranged(batch, rng))

    @torch.no_grad()
    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) by one pass of the inverse bijection over standard normal noise (S, C)."""
        return self.bijection().transform.inv(noise) * self.code_std + self.code_mean

    @torch.no_grad()
    def log_prob(self, batch: Batch) -> Tensor:
        """(S,) log density of the crystals' codes, exact, in nats.

        It is the likelihood of codes, not of crystals: what the encoder does not see does not count.
        """
        return self.code_log_prob(self.encode(batch))

    def code_log_prob(self, codes: Tensor) -> Tensor:
        """(S,) log density of codes (S, C) in nats."""
        standard = (codes - self.code_mean) / self.code_std
        return self.bijection().log_prob(standard) - self.code_std.log().sum()


def _blurred(codes: Tensor, rng: torch.Generator) -> Tensor:
    """Codes with a little noise, which keeps the density bounded where codes coincide."""
    return (codes + 0.05 * torch.randn(codes.shape, generator=rng)).float()
