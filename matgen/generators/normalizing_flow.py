"""Invertible spline couplings on the codes of an autoencoder: exact likelihood, sampling in one pass.

Rational-quadratic neural splines (Durkan et al., arXiv:1906.04032) in coupling layers, from the package zuko.
Shapes: S systems, C size of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from matgen.generators.base import GENERATORS
from matgen.generators.latent import LatentGenerator
from matgen.runtime import require

if TYPE_CHECKING:
    from torch_geometric.data import Batch


@GENERATORS.register("normalizing-flow")
class NormalizingFlow(LatentGenerator):
    """Coupling flow on the codes of an autoencoder, with exact likelihood.

    Args:
        transforms: Number of coupling layers.
        width: Of their two hidden layers.
        bins: Of each spline.
        settings: As of :class:`LatentGenerator`.
    """

    name = "normalizing-flow"

    def __init__(self, transforms: int = 6, width: int = 128, bins: int = 8, **settings: Any) -> None:
        super().__init__(transforms=transforms, width=width, bins=bins, **settings)
        zuko = require("zuko", "latent")
        self.bijection = zuko.flows.NSF(
            self.code_size, transforms=transforms, bins=bins, passes=2, hidden_features=(width, width)
        )

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Negative log likelihood of codes (S, C) in nats a dimension."""
        # A little noise keeps the density bounded where codes coincide.
        codes = codes + 0.05 * torch.randn(codes.shape, generator=rng)
        return {"loss": -self.bijection().log_prob(codes.float()).mean() / self.code_size}

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
