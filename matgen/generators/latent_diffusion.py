"""Latent diffusion: noise to codes of an autoencoder (Rombach et al., arXiv:2112.10752), here along straight paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matgen.generators.base import GENERATORS
from matgen.generators.latent import LatentGenerator
from matgen.generators.latent_prior import CodeFlow

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@GENERATORS.register("latent-diffusion")
class LatentDiffusion(LatentGenerator):
    """Diffusion of the codes of an autoencoder.

    Args:
        width, layers: Size of the :class:`CodeFlow`.
        settings: As of :class:`LatentGenerator`.
    """

    name = "latent-diffusion"

    def __init__(self, width: int = 384, layers: int = 4, **settings: Any) -> None:
        super().__init__(width=width, layers=layers, **settings)
        self.code_flow = CodeFlow(self.code_size, width, layers)

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the velocity from noise to codes (S, C)."""
        return {"loss": self.code_flow.loss(codes, rng)}

    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) by 32 Heun steps from standard normal noise (S, C)."""
        return self.code_flow.sample(noise) * self.code_std + self.code_mean
