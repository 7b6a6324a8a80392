"""CHGNet's network evaluated on whole batches: its own weights and equations, arranged for fewer operations.

The network is that of Deng et al., Nat. Mach. Intell. 5, 1031 (2023), with the weights of the ``chgnet`` package, and
its energies, forces and stresses agree with that package to single precision (tested). What differs is the work:

* one graph for the batch is built from arrays, with each pair of atoms once instead of in both directions;
* the first linear layer of each message acts on atoms, bonds and angles *before* they are gathered to edges;
* bonds beyond the angle cutoff take no part in the bond graph, where their weight is zero anyway;
* forces and stresses come from one backward pass that keeps no graph of its own.

Shapes: A atoms, S systems, E undirected edges, B edges short enough for angles, T ordered pairs of bonds at an atom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import layer_norm

from matgen.stability.neighbours import edges_within, pairs_at

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Batch

WIDTH = 64
"""Features of an atom, a bond and an angle."""

_ACOS_MARGIN = 1 - 1e-6
"""CHGNet shrinks cosines by this factor, since the derivative of acos is infinite at 1."""


@dataclass(frozen=True)
class Graph:
    """The graph of a batch.

    Args:
        species: (A,) atomic number less one.
        system: (A,) system of each atom.
        n_systems: S.
        i: (E,) one atom of each edge.
        j: (E,) the other.
        length: (E,) Å.
        short: (B,) edges that take part in angles.
        corner: (T,) atom at the corner of each angle.
        first: (T,) index of one bond among ``short``.
        second: (T,) index of the other.
        cosine: (T,) of the angle between them.
    """

    species: Tensor
    system: Tensor
    n_systems: int
    i: Tensor
    j: Tensor
    length: Tensor
    short: Tensor
    corner: Tensor
    first: Tensor
    second: Tensor
    cosine: Tensor


def build_graph(batch: Batch, displacement: Tensor, strain: Tensor, cutoff: float, angle_cutoff: float) -> Graph:
    """The graph of a batch, differentiable in a displacement and a strain that are both zero.

    Args:
        batch: ``numbers (A,)``, ``frac (A, 3)``, ``cell (S, 3, 3)`` Å, ``batch (A,)``.
        displacement: (A, 3) u added to the Cartesian positions x, Å.
        strain: (S, 3, 3) ε; everything is then stretched by x → x (1 + ε).
        cutoff: Longest edge, Å.
        angle_cutoff: Longest bond that takes part in angles, Å.
    """
    positions = torch.einsum("ai,aij->aj", batch.frac, batch.cell[batch.batch])
    edges = edges_within(cutoff, positions.numpy(), batch.cell.numpy(), batch.ptr.numpy())
    i, j, image, system = (torch.from_numpy(x) for x in (edges.i, edges.j, edges.image, edges.system))
    fixed = (positions[i] - positions[j]) - torch.einsum("ei,eij->ej", image.to(batch.cell), batch.cell[system])
    moved = fixed + displacement[i] - displacement[j]
    vector = (moved + torch.einsum("ei,eij->ej", moved, strain[system])).float()
    length = vector.norm(dim=1)
    short, corner, first, second, sign = _angles(
        edges.i, edges.j, length.detach().numpy(), angle_cutoff, len(positions)
    )
    direction = vector[short] / length[short, None]
    cosine = sign * (direction.index_select(0, first) * direction.index_select(0, second)).sum(1)
    species = batch.numbers - 1
    return Graph(species, batch.batch, batch.num_graphs, i, j, length, short, corner, first, second, cosine)


def _angles(i: np.ndarray, j: np.ndarray, length: np.ndarray, cutoff: float, n_atoms: int) -> tuple[Tensor, ...]:
    short = np.flatnonzero(length < cutoff)
    n = len(short)
    corners = np.concatenate([i[short], j[short]])
    one, other = pairs_at(corners, n_atoms)
    # Bond b leaves its atom i as directed bond b, and its atom j, pointing the other way, as directed bond n + b.
    sign = np.where((one < n) == (other < n), 1.0, -1.0).astype(np.float32)
    first, second = (one % n, other % n) if n else (one, other)
    return tuple(torch.from_numpy(x) for x in (short, corners[one], first, second, sign))


class GatedMessage:
    """CHGNet's gated perceptron, silu(LN(core)) · sigmoid(LN(gate)), whose first layer is split by input.

    Args:
        mlp: The module that holds the weights.
    """

    def __init__(self, mlp: Any) -> None:  # chgnet's GatedMLP; its parts are not typed
        core, gate = ([m for m in net.layers if hasattr(m, "weight")] for net in (mlp.mlp_core, mlp.mlp_gate))
        weight = torch.cat([core[0].weight, gate[0].weight]).detach()
        self.inputs = [block.t().contiguous() for block in weight.split(WIDTH, dim=1)]
        self.bias = torch.cat([core[0].bias, gate[0].bias]).detach()
        self.hidden = [
            (m.weight.detach().t().contiguous(), m.bias.detach()) for m in (core + gate) if m.in_features == WIDTH
        ]
        self.norms = [(norm.weight.detach(), norm.bias.detach()) for norm in (mlp.bn1, mlp.bn2)]

    def project(self, features: Tensor, block: int) -> Tensor:
        """(n, 2·WIDTH) What one input, of (n, WIDTH), gives to the first layer."""
        return features @ self.inputs[block]

    def __call__(self, first: Tensor) -> Tensor:
        """(n, WIDTH) message from the (n, 2·WIDTH) sum of what the inputs gave."""
        core, gate = (_silu(first) if self.hidden else first).split(WIDTH, dim=1)
        if self.hidden:
            core, gate = (torch.addmm(b, x, w) for x, (w, b) in zip((core, gate), self.hidden, strict=True))
        core, gate = (layer_norm(x, (WIDTH,), *norm) for x, norm in zip((core, gate), self.norms, strict=True))
        return _silu(core) * torch.sigmoid(gate)


class BatchedCHGNet:
    """Energies of batches by a CHGNet 0.3.0-type model.

    Args:
        model: The model that holds the weights; they are frozen.
    """

    def __init__(self, model: Any) -> None:  # a chgnet.model.CHGNet; its parts are not typed
        self.model = model.eval().requires_grad_(False)
        self.cutoff = float(model.graph_converter.atom_graph_cutoff)
        self.angle_cutoff = float(model.graph_converter.bond_graph_cutoff)
        self.atom_messages = [GatedMessage(layer.twoBody_atom) for layer in model.atom_conv_layers]
        self.bond_messages = [GatedMessage(layer.twoBody_bond) for layer in model.bond_conv_layers]
        self.angle_messages = [GatedMessage(layer.twoBody_bond) for layer in model.angle_layers]

    def energies(self, graph: Graph) -> Tensor:
        """(S,) Energies in eV per cell, without the constant that each element adds."""
        return _sum(self.model.mlp(self.atoms(graph))[:, 0], graph.system, graph.n_systems)

    def atoms(self, graph: Graph) -> Tensor:
        """(A, WIDTH) What the network knows of each atom and its surroundings; the energies are read from it."""
        model, bases = self.model, self.model.bond_basis_expansion
        radial = bases.rbf_expansion_ag(graph.length)
        weights = model.bond_weights_ag(radial)
        atoms, bonds = model.atom_embedding(graph.species), model.bond_embedding(radial)
        angles, angle_weights = self._angle_features(graph)
        last = len(self.atom_messages) - 1
        for layer in range(last):
            atoms = self._atom_step(layer, graph, atoms, bonds, weights)
            if len(graph.cosine):
                bonds, short = self._bond_step(layer, graph, atoms, bonds, angles, angle_weights)
                if layer < last - 1:  # nothing reads the angles after the last bond step
                    angles = angles + self._angle_message(self.angle_messages[layer], graph, atoms, short, angles)
        return model.readout_norm(self._atom_step(last, graph, atoms, bonds, weights))

    def constants(self, graph: Graph) -> Tensor:
        """(S,) What the elements add whatever the structure, eV per cell."""
        return _sum(self.model.composition_model.fc.weight[0, graph.species].double(), graph.system, graph.n_systems)

    def _angle_features(self, graph: Graph) -> tuple[Tensor, Tensor]:
        bases = self.model.bond_basis_expansion
        weights = self.model.bond_weights_bg(bases.rbf_expansion_bg(graph.length[graph.short]))
        weights = weights.index_select(0, graph.first) * weights.index_select(0, graph.second)
        angle = torch.acos(graph.cosine * _ACOS_MARGIN)
        return self.model.angle_embedding(self.model.angle_basis_expansion.fourier_expansion(angle)), weights

    def _atom_step(self, layer: int, graph: Graph, atoms: Tensor, bonds: Tensor, weights: Tensor) -> Tensor:
        message = self.atom_messages[layer]
        centre, neighbour = message.project(atoms, 0), message.project(atoms, 2)
        bond = torch.addmm(message.bias, bonds, message.inputs[1])
        to_i = centre.index_select(0, graph.i) + neighbour.index_select(0, graph.j) + bond
        to_j = centre.index_select(0, graph.j) + neighbour.index_select(0, graph.i) + bond
        sent = message(torch.cat([to_i, to_j])).view(2, len(bonds), WIDTH) * weights
        received = _sum(sent[0], graph.i, len(atoms)).index_add(0, graph.j, sent[1])
        return atoms + self.model.atom_conv_layers[layer].mlp_out(received)

    def _bond_step(
        self, layer: int, graph: Graph, atoms: Tensor, bonds: Tensor, angles: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        short = bonds.index_select(0, graph.short)
        sent = self._angle_message(self.bond_messages[layer], graph, atoms, short, angles) * weights
        short = short + self.model.bond_conv_layers[layer].mlp_out(_sum(sent, graph.first, len(short)))
        return bonds.index_copy(0, graph.short, short), short

    @staticmethod
    def _angle_message(message: GatedMessage, graph: Graph, atoms: Tensor, short: Tensor, angles: Tensor) -> Tensor:
        first = torch.addmm(message.bias, angles, message.inputs[2])
        first = first + message.project(short, 0).index_select(0, graph.first)
        first = first + message.project(short, 1).index_select(0, graph.second)
        return message(first + message.project(atoms, 3).index_select(0, graph.corner))


def _silu(x: Tensor) -> Tensor:
    # Spelled out because torch's silu computes the exponential again in its backward pass.
    return x * torch.sigmoid(x)


def _sum(values: Tensor, owner: Tensor, n: int) -> Tensor:
    return values.new_zeros(n, *values.shape[1:]).index_add(0, owner, values)
