"""A generative adversarial network on the codes of an autoencoder, in which two parents can be mixed.

Wasserstein loss with gradient penalty (Gulrajani et al., arXiv:1704.00028), a spectrally normalised critic (Miyato
et al., arXiv:1802.05957), and a generator steered at every depth by a style (Karras et al., arXiv:1812.04948), so
that early depths may follow one parent and late ones another.

Shapes: S systems, C size of a code, D width, L depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from matgen.generators.base import GENERATORS
from matgen.generators.latent import LatentGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence


class Synthesis(nn.Module):
    """Codes (S, C) from one style (S, D) a depth."""

    def __init__(self, code: int, width: int, depth: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(width))
        self.styles = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, code)

    def forward(self, styles: Sequence[Tensor]) -> Tensor:
        """(S, C) from L styles (S, D)."""
        h = self.constant.expand(styles[0].shape)
        for style, modulate, layer in zip(styles, self.styles, self.layers, strict=True):
            scale, shift = modulate(style).chunk(2, dim=-1)
            h = h + layer(nn.functional.silu(h * (1 + scale) + shift))
        return self.leave(h)


@GENERATORS.register("gan")
class GAN(LatentGenerator):
    """Wasserstein GAN on the codes of an autoencoder, with style mixing of two parents.

    Args:
        width: D.
        depth: L.
        penalty: Weight of the gradient penalty.
        settings: As of :class:`LatentGenerator`.
    """

    name = "gan"

    def __init__(self, width: int = 192, depth: int = 4, penalty: float = 10.0, **settings: Any) -> None:
        super().__init__(width=width, depth=depth, penalty=penalty, **settings)
        self.depth, self.penalty = depth, penalty
        self.mapping = nn.Sequential(nn.Linear(self.code_size, width), nn.SiLU(), nn.Linear(width, width))
        self.inversion = nn.Sequential(nn.Linear(self.code_size, width), nn.SiLU(), nn.Linear(width, width))
        self.synthesis = Synthesis(self.code_size, width, depth)
        self.critic = nn.Sequential(
            spectral_norm(nn.Linear(self.code_size, width)),
            nn.SiLU(),
            spectral_norm(nn.Linear(width, width)),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Critic, generator and inversion at once: each term pulls only at its own part.

        Args:
            codes: Real, standardised (S, C).
            rng: Of noise and mixing.
        """
        fake = self._made(torch.randn(codes.shape, generator=rng))
        share = torch.rand(len(codes), 1, generator=rng)
        between = (share * codes + (1 - share) * fake.detach()).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=self.training)
        critic = self.critic(fake.detach()).mean() - self.critic(codes).mean()
        critic = critic + self.penalty * (slope.norm(dim=-1) - 1).square().mean()
        frozen = {name: value.detach() for name, value in self.critic.named_parameters()}
        generator = -functional_call(self.critic, frozen, (fake,)).mean()
        inverted = (self.synthesis([self.inversion(codes)] * self.depth) - codes).square().mean()
        return {
            "loss": critic + generator + inverted,
            "critic": critic.detach(),
            "generator": generator.detach(),
            "inversion": inverted.detach(),
        }

    def _made(self, noise: Tensor) -> Tensor:
        return self.synthesis([self.mapping(noise)] * self.depth)

    @torch.no_grad()
    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) in one pass from standard normal noise (S, C)."""
        return self._made(noise) * self.code_std + self.code_mean

    @torch.no_grad()
    def mix(self, first: Tensor, second: Tensor, depth: int) -> Tensor:
        """Children whose styles follow ``first`` up to a depth and ``second`` from there on.

        Args:
            first: Codes (S, C) of the parents of the early layers.
            second: Codes (S, C) of the parents of the late layers.
            depth: From 0 (all of ``second``) to L (all of ``first``).

        Returns:
            Codes (S, C).
        """
        early, late = (self.inversion((codes - self.code_mean) / self.code_std) for codes in (first, second))
        styles = [early if layer < depth else late for layer in range(self.depth)]
        return self.synthesis(styles) * self.code_std + self.code_mean
