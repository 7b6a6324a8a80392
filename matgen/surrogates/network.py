"""A compact periodic graph network with three-body terms.

Senders contribute scalars only; receivers collect them on spherical harmonics of the neighbour directions and
contract those to invariants at once (the density trick of the atomic cluster expansion: Drautz, Phys. Rev. B 99,
014104, 2019). So angles between neighbours enter at the cost of edges, and because every message is invariant the
graph may consist of the asymmetric unit alone.

Shapes: S systems, N nodes (orbits of atoms), E edges, F width, C angular channels, R radial functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

if TYPE_CHECKING:
    from torch_geometric.data import Batch

from matgen.features.composition import ELEMENT_COLUMNS, MAX_Z, element_table

HARMONICS = 8
"""Components of the real spherical harmonics of degree 1 (three) and 2 (five)."""


def harmonics(direction: Tensor) -> Tensor:
    """Real spherical harmonics of degrees 1 and 2, each degree normalised to sum of squares 1.

    Args:
        direction: (E, 3) unit vectors.

    Returns:
        (E, 8).
    """
    x, y, z = direction.unbind(-1)
    root = 3.0**0.5
    second = [root * x * y, root * y * z, (3 * z * z - 1) / 2, root * x * z, root * (x * x - y * y) / 2]
    return torch.stack([x, y, z, *second], dim=-1)


class RadialBasis(nn.Module):
    """Gaussians of the distance over 0.5 to ``farthest`` Å, denser at bond lengths.

    Args:
        size: R.
        farthest: Last centre in Å.
    """

    centres: Tensor
    widths: Tensor

    def __init__(self, size: int, farthest: float) -> None:
        super().__init__()
        centres = torch.linspace(0.5**0.5, farthest**0.5, size).square()
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("widths", torch.gradient(centres)[0], persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """(E, R) from ``distance (E,)`` in Å."""
        return torch.exp(-((distance[:, None] - self.centres) / self.widths).square())


class Interaction(MessagePassing):
    """One round of messages.

    m_i = sum_j silu(A h_i + B h_j + P e_ij) ∘ Q e_ij and b_i^{lm} = sum_j (U h_j ∘ T e_ij) Y_lm(r_ij) with e_ij
    the radial basis; b is contracted to |b_i^l| by channel, then h_i <- h_i + MLP[h_i, m_i, |b_i|].

    Args:
        width: F.
        angular: C.
        radial: R.
    """

    def __init__(self, width: int, angular: int, radial: int) -> None:
        super().__init__(aggr="sum")
        self.width, self.angular = width, angular
        self.norm = nn.LayerNorm(width)
        self.receive = nn.Linear(width, width)
        self.send = nn.Linear(width, width + angular)
        self.edge = nn.Linear(radial, 2 * width + angular)
        self.update_node = nn.Sequential(
            nn.Linear(2 * width + 2 * angular, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, h: Tensor, edge_index: Tensor, radial: Tensor, sphere: Tensor) -> Tensor:
        """New node features (N, F).

        Args:
            h: (N, F).
            edge_index: (2, E).
            radial: (E, R).
            sphere: (E, 8) harmonics.
        """
        normed = self.norm(h)
        scalar, tensor = self.propagate(
            edge_index, to=self.receive(normed), by=self.send(normed), edge=self.edge(radial), sphere=sphere
        )
        squared = tensor.view(-1, self.angular, HARMONICS).square()
        invariants = torch.cat([squared[..., :3].sum(-1), squared[..., 3:].sum(-1)], dim=-1)
        return h + self.update_node(torch.cat([normed, scalar, torch.sqrt(invariants + 1e-4)], dim=-1))

    def message(self, to_i: Tensor, by_j: Tensor, edge: Tensor, sphere: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (E, F) and tensors (E, 8 C) of each edge."""
        sent, angular = by_j.split([self.width, self.angular], dim=-1)
        shift, gate, angular_gate = edge.split([self.width, self.width, self.angular], dim=-1)
        tensor = (angular * angular_gate)[:, :, None] * sphere[:, None, :]
        return functional.silu(to_i + sent + shift) * gate, tensor.flatten(1)

    def aggregate(
        self, inputs: tuple[Tensor, Tensor], index: Tensor, dim_size: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Sums over the neighbours of each node, divided by a typical square root of their number."""
        scalar, tensor = (x.new_zeros(dim_size or 0, x.shape[1]).index_add_(0, index, x) / 4 for x in inputs)
        return scalar, tensor


class GraphNetwork(nn.Module):
    """Graphs to a mean, a log scale and an embedding.

    Args:
        width: F.
        angular: C.
        layers: Rounds of messages.
        radial: R.
        farthest: Largest distance that the radial basis tells apart, Å.
    """

    elements: Tensor

    def __init__(
        self, width: int = 96, angular: int = 16, layers: int = 4, radial: int = 32, farthest: float = 8.0
    ) -> None:
        super().__init__()
        # The table travels with the weights: a later table must not change a trained model.
        self.register_buffer("elements", torch.from_numpy(element_table()).float())
        self.learned = nn.Embedding(MAX_Z + 1, width)
        self.project = nn.Linear(len(ELEMENT_COLUMNS), width)
        self.radial = RadialBasis(radial, farthest)
        self.interactions = nn.ModuleList(Interaction(width, angular, radial) for _ in range(layers))
        self.readout = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU())
        self.mean = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.log_scale = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        nn.init.normal_(self.learned.weight, std=0.3)

    def embed(self, graph: Batch) -> Tensor:
        """(S, F) embeddings of whole structures."""
        distance = graph.vector.norm(dim=-1)
        sphere = harmonics(graph.vector / distance.clamp_min(1e-6)[:, None])
        radial = self.radial(distance)
        h = self.learned(graph.numbers) + self.project(self.elements[graph.numbers])
        for interaction in self.interactions:
            h = interaction(h, graph.edge_index, radial, sphere)
        mean = scatter(h * graph.weight[:, None], graph.batch, dim=0, dim_size=graph.num_graphs, reduce="sum")
        square = scatter(
            h.square() * graph.weight[:, None], graph.batch, dim=0, dim_size=graph.num_graphs, reduce="sum"
        )
        spread = (square - mean.square()).clamp_min(0) + 1e-4
        return self.readout(torch.cat([mean, spread.sqrt()], dim=-1))

    def forward(self, graph: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled mean (S,), log of the scaled Laplace width (S,) and embeddings (S, F)."""
        embedding = self.embed(graph)
        return self.mean(embedding)[:, 0], self.log_scale(embedding.detach())[:, 0], embedding
