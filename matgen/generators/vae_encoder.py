"""Message passing on the periodic graph of a crystal, to one vector that no renumbering of atoms changes.

Shapes: S systems, A atoms (padded), N all atoms, E edges, K neighbours, R radial functions, D width.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, global_mean_pool
from torch_geometric.utils import to_dense_batch

from matgen.generators.paths import shortest
from matgen.nn.atoms import AtomTable
from matgen.precision import full_precision

if TYPE_CHECKING:
    from torch_geometric.data import Batch

FARTHEST = 8.0
"""Å; end of the radial functions."""


def nearest(frac: Tensor, cell: Tensor, real: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """The nearest neighbours of each atom among all periodic images in the 27 cells around.

    In a reduced cell these hold the nearest neighbours; a long, skewed one must be reduced before.

    Args:
        frac: (S, A, 3).
        cell: (S, 3, 3) rows a, b, c in Å.
        real: (S, A), False on padding.
        neighbours: K.

    Returns:
        Index in the system (S, A, K) and vector in Å (S, A, K, 3) of each neighbour, sorted by distance.
    """
    s, a = real.shape
    images = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)), device=frac.device)
    between = shortest(frac[:, None] - frac[:, :, None])[:, :, :, None] + images
    vector = torch.einsum("sijma,sab->sijmb", between, cell)
    distance = vector.norm(dim=-1).masked_fill(~real[:, None, :, None], torch.inf)
    distance = distance.masked_fill(distance < 1e-4, torch.inf).flatten(2)
    found = distance.topk(neighbours, dim=-1, largest=False).indices
    vectors = vector.flatten(2, 3).gather(2, found[..., None].expand(s, a, neighbours, 3))
    return found // len(images), vectors


class Interaction(MessagePassing):
    """One round of messages, with invariants of their directions.

    m_ij = w_ij SiLU(U h_i + V h_j + F e_ij) ∘ G e_ij; node i receives Σ_j m_ij and the squared norms of the moments
    Σ_j (Q m_ij) ⊗ r̂ and Σ_j (Q m_ij) ⊗ (r̂ r̂ᵀ - 1/3), which tell angles apart.

    Args:
        width: D.
        radial: R.
        channels: Number of moments.
    """

    def __init__(self, width: int, radial: int, channels: int = 8) -> None:
        super().__init__(aggr="add")
        self.width, self.channels = width, channels
        self.receiver, self.sender = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.filters = nn.Linear(radial, 2 * width)
        self.moments = nn.Linear(width, channels, bias=False)
        self.update_node = nn.Sequential(
            nn.LayerNorm(width + 2 * channels),
            nn.Linear(width + 2 * channels, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )

    def forward(self, h: Tensor, edge_index: Tensor, radial: Tensor, shape: Tensor, weight: Tensor) -> Tensor:
        """(N, D) from ``h (N, D)``, ``edge_index (2, E)``, ``radial (E, R)``, ``shape (E, 12)``, ``weight (E, 1)``."""
        gate, value = self.filters(radial).chunk(2, dim=-1)
        got = self.propagate(
            edge_index, to=self.receiver(h), h=self.sender(h), gate=gate, value=value, shape=shape, weight=weight
        )
        sums, moments = got.split([self.width, 12 * self.channels], dim=-1)
        squares = moments.unflatten(-1, (self.channels, 12)).square()
        norms = torch.cat([squares[..., :3].sum(-1), squares[..., 3:].sum(-1)], dim=-1)
        return h + self.update_node(torch.cat([sums, (norms + 1e-6).sqrt()], dim=-1))

    def message(self, to_i: Tensor, h_j: Tensor, gate: Tensor, value: Tensor, shape: Tensor, weight: Tensor) -> Tensor:
        """(E, D + 12 channels)."""
        message = torch.nn.functional.silu(to_i + h_j + gate) * value * weight
        moments = self.moments(message)[..., None] * shape[:, None]
        return torch.cat([message, moments.flatten(1)], dim=-1)


class Encoder(nn.Module):
    """Crystals to mean and log variance of one latent code each.

    A neighbour's weight (1 - (d/d_K)²)² vanishes at the K-th, so that equally distant neighbours need no choice.

    Args:
        code: Size of the code.
        width: D.
        layers: Rounds of messages.
        neighbours: K.
        radial: R.
    """

    centres: Tensor

    def __init__(self, code: int, width: int = 96, layers: int = 3, neighbours: int = 12, radial: int = 24) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.register_buffer("centres", torch.linspace(0.5, FARTHEST, radial), persistent=False)
        self.atoms = AtomTable(width)
        self.rounds = nn.ModuleList(Interaction(width, radial) for _ in range(layers))
        last = nn.Linear(128, 2 * code)
        self.readout = nn.Sequential(nn.Linear(2 * width + 7, 128), nn.SiLU(), last)
        nn.init.constant_(last.bias[code:], -3.0)  # begin with little noise in the code

    def forward(self, batch: Batch, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (S, C) each.

        Args:
            batch: Crystals in reduced cells.
            cell: (S, 6) their standardised cell numbers, which join the pooled features with ln A.
        """
        edge_index, vector, weight = self.graph(batch)
        distance = vector.norm(dim=-1, keepdim=True)
        step = self.centres[1] - self.centres[0]
        radial = torch.exp(-((distance - self.centres) / step).square())
        unit = vector / distance
        square = unit[:, :, None] * unit[:, None] - torch.eye(3, device=unit.device) / 3
        shape = torch.cat([unit, square.flatten(1)], dim=-1)
        h = self.atoms()[batch.numbers]
        for interaction in self.rounds:
            h = interaction(h, edge_index, radial, shape, weight)
        sizes = torch.bincount(batch.batch, minlength=len(cell)).to(h.dtype)
        pooled = [global_mean_pool(x, batch.batch, len(cell)) for x in (h, h.square())]
        mean, log_variance = self.readout(torch.cat([*pooled, cell, sizes.log()[:, None]], dim=-1)).chunk(2, dim=-1)
        return mean.float(), log_variance.float().clamp(-10, 2)

    @torch.no_grad()
    def graph(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Edges (2, E) from neighbours to atoms, their vectors (E, 3) in Å and weights (E, 1)."""
        frac, real = to_dense_batch(batch.frac.float(), batch.batch)
        with full_precision(frac.device):
            found, vector = nearest(frac, batch.cell.float(), real, self.neighbours)
        first = real.sum(1).cumsum(0) - real.sum(1)
        sender = (found + first[:, None, None])[real]
        receiver = torch.arange(len(sender), device=sender.device)[:, None].expand_as(sender)
        vector = vector[real]
        share = vector.norm(dim=-1) / vector[:, -1:].norm(dim=-1)
        weight = (1 - share.square()).clamp_min(0).square()
        edges = torch.stack([sender.flatten(), receiver.flatten()])
        return edges, vector.flatten(0, 1), weight.flatten()[:, None]
