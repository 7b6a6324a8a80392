"""A generative adversarial network on the codes of an autoencoder, in which two parents can be mixed.

Wasserstein loss with gradient penalty (Gulrajani et al., arXiv:1704.00028), spectral normalisation (Miyato et al.,
arXiv:1802.05957) of the generator as in Zhang et al., arXiv:1805.08318, and a generator steered at every depth by a
style (Karras et al., arXiv:1812.04948), so that early depths may follow one parent and late ones another.

The penalty alone bounds the critic: with a spectral norm too its slope stays far below the 1 that the penalty asks
for, and draws collapse. The critic learns faster than the generator (Heusel et al., arXiv:1706.08500).

Shapes: S systems, C size of a code, D width, L depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from matgen.generators.base import GENERATORS
from matgen.generators.latent import LatentGenerator

if TYPE_CHECKING:
    from collections.abc import Sequence


class Styles(nn.Module):
    """Styles (S, D) of unit root mean square, from noise or from codes (S, C)."""

    def __init__(self, code: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(code, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(S, D) from (S, C); without the norm, the small weights of the start would leave all styles alike."""
        style = self.layers(x)
        return style * (style.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


class Synthesis(nn.Module):
    """Codes (S, C) from one style (S, D) a depth; their chemical part leaves at half of the depth.

    Args:
        code: C.
        width: D.
        depth: L.
        chemical: Numbers of the chemical part, see :attr:`.Autoencoder.chemical_size`.
    """

    def __init__(self, code: int, width: int, depth: int, chemical: int = 0) -> None:
        super().__init__()
        self.middle = depth // 2
        self.constant = nn.Parameter(torch.randn(width))
        self.styles = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.layers = nn.ModuleList(spectral_norm(nn.Linear(width, width)) for _ in range(depth))
        self.leave_early = nn.Linear(width, chemical) if chemical else None
        self.leave = nn.Linear(width, code - chemical)

    def forward(self, styles: Sequence[Tensor]) -> Tensor:
        """(S, C) from L styles (S, D)."""
        h = self.constant.expand(styles[0].shape)
        states = [h]
        for style, modulate, layer in zip(styles, self.styles, self.layers, strict=True):
            scale, shift = modulate(style).chunk(2, dim=-1)
            h = h + layer(F.silu(h * (1 + scale) + shift))
            states.append(h)
        late = self.leave(h)
        return late if self.leave_early is None else torch.cat([self.leave_early(states[self.middle]), late], dim=-1)


class Critic(nn.Module):
    """(S, 1) how real codes (S, C) look, by residual layers."""

    def __init__(self, code: int, width: int, blocks: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(code, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)
        )
        self.leave = nn.Linear(width, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """(S, 1) from (S, C)."""
        h = self.enter(codes)
        for block in self.blocks:
            h = h + block(h)
        return self.leave(F.silu(h))


@GENERATORS.register("gan")
class GAN(LatentGenerator):
    """Wasserstein GAN on the codes of an autoencoder, with style mixing of two parents.

    Args:
        width: D.
        depth: L.
        penalty: Weight of the gradient penalty.
        pace: Learning rate of the critic as a multiple of that of the rest.
        settings: As of :class:`LatentGenerator`.
    """

    name = "gan"

    def __init__(
        self, width: int = 160, depth: int = 4, penalty: float = 10.0, pace: float = 4.0, **settings: Any
    ) -> None:
        super().__init__(width=width, depth=depth, penalty=penalty, pace=pace, **settings)
        self.depth, self.penalty = depth, penalty
        self.paces = {"critic": pace}
        self.mapping = Styles(self.code_size, width)
        self.inversion = Styles(self.code_size, width)
        self.synthesis = Synthesis(self.code_size, width, depth, self.autoencoder.chemical_size)
        self.critic = Critic(self.code_size, width)

    def code_loss(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Critic, generator and inversion at once: each term pulls only at its own part.

        Args:
            codes: Real, standardised (S, C).
            rng: Of noise and mixing.
        """
        fake = self.synthesis(self._crossed(codes.shape, rng))
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

    def _crossed(self, shape: torch.Size, rng: torch.Generator) -> list[Tensor]:
        """L styles (S, D) of noise; in every other row two draws meet at a depth, so that mixing is learned."""
        one, other = (self.mapping(torch.randn(shape, generator=rng)) for _ in range(2))
        depth = torch.randint(1, self.depth + 1, (len(one), 1), generator=rng)
        depth[::2] = self.depth
        return [torch.where(layer < depth, one, other) for layer in range(self.depth)]

    def _made(self, noise: Tensor) -> Tensor:
        return self.synthesis([self.mapping(noise)] * self.depth)

    @torch.no_grad()
    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) in one pass from standard normal noise (S, C)."""
        return self._made(noise) * self.code_std + self.code_mean

    @torch.no_grad()
    def mix(self, first: Tensor, second: Tensor, depth: int) -> Tensor:
        """Children whose styles follow ``first`` up to a depth and ``second`` from there on.

        At half of the depth the composition is that of ``first``, and the geometry follows the styles of ``second``.
        What the inversion misses of the parents is added in proportion, so that at either end a parent returns.

        Args:
            first: Codes (S, C) of the parents of the early layers.
            second: Codes (S, C) of the parents of the late layers.
            depth: From 0 (all of ``second``) to L (all of ``first``).

        Returns:
            Codes (S, C).
        """
        parents = [(codes - self.code_mean) / self.code_std for codes in (first, second)]
        styles = [self.inversion(codes) for codes in parents]
        missed = [codes - self.synthesis([style] * self.depth) for codes, style in zip(parents, styles, strict=True)]
        made = self.synthesis([styles[0] if layer < depth else styles[1] for layer in range(self.depth)])
        return (made + torch.lerp(missed[1], missed[0], self._share(depth))) * self.code_std + self.code_mean

    def _share(self, depth: int) -> Tensor:
        """(C,) how far the first of two parents that meet at a depth decides each number of a code."""
        chemical, middle = self.autoencoder.chemical_size, self.synthesis.middle
        share = torch.full((self.code_size,), depth / self.depth)
        if chemical:
            share[:chemical] = min(1.0, depth / middle)
            share[chemical:] = max(0.0, (depth - middle) / (self.depth - middle))
        return share
