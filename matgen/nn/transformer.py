"""Periodic transformer: dense attention over the atoms of a cell, steered by pairwise periodic features.

Every input of the network is unchanged by a common translation of the atoms and by lattice vectors, so its output
is too. Shapes: S systems, A atoms (padded), H heads, C pair channels, D width.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.nn.atoms import AtomTable
from matgen.precision import full_precision

SPACING = 1.6
"""Å; stands for the mean spacing of the atoms of a molecule, so that radial features reach 4.8 Å."""

FARTHEST = 4
"""Bonds between two atoms of a molecule, from which on all are alike."""


class PairFeatures(nn.Module):
    """Channels of each ordered pair of atoms from the periodic difference of their positions.

    e_ij = MLP([sin 2πk Δf, cos 2πk Δf]_{k=1..K}, RBF(|Δr|/l)) with Δf = f_j - f_i, Δr the difference wrapped to the
    nearest lattice point in fractional space, in Å, and l = (V/A)^(1/3) the mean spacing.

    Args:
        channels: C.
        waves: K, wave numbers on each axis.
        radial: Number of Gaussians over 0 to 3 mean spacings.
        molecules: Whether how many bonds lie between two atoms can be told.
    """

    waves: Tensor
    centres: Tensor

    def __init__(self, channels: int, waves: int = 4, radial: int = 16, molecules: bool = False) -> None:
        super().__init__()
        self.register_buffer("waves", 2 * pi * torch.arange(1, waves + 1).float(), persistent=False)
        self.register_buffer("centres", torch.linspace(0, 3, radial), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(6 * waves + radial, channels), nn.GELU(), nn.Linear(channels, channels))
        self.bonds = nn.Embedding(FARTHEST + 1, channels, padding_idx=0) if molecules else None

    def forward(
        self,
        frac: Tensor,
        cell: Tensor,
        real: Tensor,
        isolated: Tensor | None = None,
        apart: Tensor | None = None,
    ) -> Tensor:
        """(S, A, A, C) from ``frac (S, A, 3)``, ``cell (S, 3, 3)`` Å and ``real (S, A)``.

        Molecules, ``isolated (S,)``, lie in a box whose volume says nothing; their mean spacing is a fixed length.
        Where their bonds are known, ``apart (S, A, A)`` counts those between two atoms, 0 where it is not told.
        """
        difference = frac[:, None] - frac[:, :, None]
        phase = (difference[..., None] * self.waves).flatten(-2)
        wrapped = difference - difference.round()
        with full_precision(frac.device):
            distance = torch.einsum("sija,sab->sijb", wrapped, cell).norm(dim=-1)
        spacing = (torch.linalg.det(cell).abs() / real.sum(1)).pow(1 / 3)
        if isolated is not None:
            spacing = torch.where(isolated, SPACING, spacing)
        spacing = spacing[:, None, None]
        width = self.centres[1] - self.centres[0]
        radial = torch.exp(-(((distance / spacing)[..., None] - self.centres) / width).square())
        pairs: Tensor = self.mlp(torch.cat([phase.sin(), phase.cos(), radial], dim=-1))
        return pairs if apart is None or self.bonds is None else pairs + self.bonds(apart)


class Block(nn.Module):
    """Attention with pair bias and pair values, then a feed-forward layer; both modulated by the condition.

    Modulation is adaptive layer norm with zero-initialised gates (Peebles & Xie, arXiv:2212.09748), shared by all
    blocks up to a learned table for each (Chen et al., arXiv:2310.00426).
    """

    def __init__(self, width: int, heads: int, channels: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.bias = nn.Linear(channels, heads)
        self.out = nn.Linear(width + heads * channels, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(self, h: Tensor, pairs: Tensor, hidden: Tensor, modulation: Tensor) -> Tensor:
        """(S, A, D) from tokens, ``pairs (S, A, A, C)``, ``hidden (S, 1, 1, A)`` padding, ``modulation (S, 6, D)``."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.modulation)[:, :, None].unbind(1)
        x = F.layer_norm(h, h.shape[-1:]) * (1 + scale1) + shift1
        h = h + gate1 * self._attend(x, pairs, hidden)
        x = F.layer_norm(h, h.shape[-1:]) * (1 + scale2) + shift2
        return h + gate2 * self.feed(x)

    def _attend(self, x: Tensor, pairs: Tensor, hidden: Tensor) -> Tensor:
        s, a, d = x.shape
        q, k, v = self.qkv(x).view(s, a, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT * (d // self.heads) ** -0.5 + self.bias(pairs).permute(0, 3, 1, 2)
        weights = scores.masked_fill(hidden, -1e4).softmax(dim=-1)
        values = (weights @ v).transpose(1, 2).reshape(s, a, d)
        steered = weights.transpose(1, 2) @ pairs
        return self.out(torch.cat([values, steered.flatten(2)], dim=-1))


class Towards(nn.Module):
    """A vector on each atom of a molecule that turns with it, made of directions to the other atoms.

    v_i = Σ_j g_ij (r_j - r_i) / (1 Å + |r_j - r_i|) with g_ij = MLP(h_i, h_j, e_ij), an equivariant layer as of
    Satorras et al. (arXiv:2102.09844).

    Args:
        width: D.
        channels: C.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.here, self.there = nn.Linear(width, channels), nn.Linear(width, channels, bias=False)
        self.pair, self.gain = nn.Linear(channels, channels, bias=False), nn.Linear(channels, 1, bias=False)

    def forward(self, h: Tensor, pairs: Tensor, frac: Tensor, box: float, real: Tensor) -> Tensor:
        """(S, A, 3) from features (S, A, D), pairs (S, A, A, C), ``frac (S, A, 3)`` of ``box`` Å, ``real (S, A)``."""
        gain = self.gain(F.gelu(self.here(h)[:, :, None] + self.there(h)[:, None] + self.pair(pairs)))[..., 0].float()
        difference = frac[:, None] - frac[:, :, None]
        difference = (difference - difference.round()) * box
        direction = difference / (1 + difference.norm(dim=-1, keepdim=True))
        return ((gain * real[:, None])[..., None] * direction).sum(2)


class PeriodicTransformer(nn.Module):
    """Tokens of atoms in a cell to features of atoms.

    Args:
        width: D.
        layers: Number of blocks.
        heads: H.
        channels: C.
        molecules: Whether there are molecules, with bonds that may be known.
    """

    def __init__(
        self, width: int = 256, layers: int = 6, heads: int = 8, channels: int = 32, molecules: bool = False
    ) -> None:
        super().__init__()
        self.atoms = AtomTable(width)
        self.pairs = PairFeatures(channels, molecules=molecules)
        self.blocks = nn.ModuleList(Block(width, heads, channels) for _ in range(layers))
        self.modulate = nn.Linear(width, 6 * width)
        self.final = nn.Linear(width, 2 * width)
        self.to_element = nn.Linear(width, width)
        for layer in (self.modulate, self.final):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        numbers: Tensor,
        frac: Tensor,
        cell: Tensor,
        real: Tensor,
        condition: Tensor,
        isolated: Tensor | None = None,
        apart: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features (S, A, D) of atoms, and (S, A, A, C) of pairs.

        Args:
            numbers: (S, A) atomic numbers, 0 where undetermined.
            frac: (S, A, 3).
            cell: (S, 3, 3) Å.
            real: (S, A), False on padding.
            condition: (S, D) what the whole system is asked to be (time, size, cell, targets).
            isolated: (S,) which systems are molecules; None where none is.
            apart: (S, A, A) bonds between two atoms, 0 where not told; None where none are known.
        """
        pairs = self.pairs(frac, cell, real, isolated, apart)
        h = self.atoms()[numbers] + condition[:, None]
        hidden = ~real[:, None, None, :]
        modulation = self.modulate(F.silu(condition)).unflatten(-1, (6, -1))
        for block in self.blocks:
            h = block(h, pairs, hidden, modulation)
        shift, scale = self.final(condition)[:, None].chunk(2, dim=-1)
        return F.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift, pairs

    def element_logits(self, h: Tensor) -> Tensor:
        """(S, A, 119) logits over atomic numbers; similar elements share evidence through the atom table."""
        logits = self.to_element(h) @ self.atoms().mT / h.shape[-1] ** 0.5
        return logits.index_fill(-1, torch.zeros(1, dtype=torch.long, device=h.device), -1e4)
