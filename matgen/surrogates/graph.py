"""A deep ensemble of periodic graph networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Batch, Data

from matgen.data.structures import from_data
from matgen.errors import ConfigError
from matgen.features.graph import neighbour_edges, to_graph
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.ensemble import DeepEnsemble, EnsembleConfig
from matgen.surrogates.network import GraphNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch import Tensor, nn


@dataclass(frozen=True)
class GraphConfig(EnsembleConfig):
    """Settings of :class:`GraphEnsemble`.

    Args:
        width: Node features.
        angular: Channels of the three-body terms.
        layers: Rounds of messages.
        neighbours: Nearest neighbours of each atom, completed to whole shells.
        jitter: Standard deviation of the noise on each neighbour vector in training, Å.
        strain: Standard deviation of the isotropic strain of each structure in training.
    """

    width: int = 128
    angular: int = 8
    layers: int = 3
    neighbours: int = 12
    jitter: float = 0.02
    strain: float = 0.005
    held_out: float = 0.05


@SURROGATES.register("graph-ensemble")
class GraphEnsemble(DeepEnsemble):
    """Graph networks on the asymmetric unit, from a structure to any property.

    Training structures are jittered and strained a little under an unchanged label, so that a structure which is
    not quite relaxed is read as the crystal it will become (Gibson et al., npj Comput. Mater. 8, 211, 2022).
    """

    name = "graph-ensemble"
    reads = "structures"
    config_class = GraphConfig
    config: GraphConfig

    def network(self) -> nn.Module:
        """A graph network with the configured sizes."""
        return GraphNetwork(self.config.width, self.config.angular, self.config.layers)

    def items(self, structures: Sequence[Structure]) -> list[Data]:
        """Neighbour graphs."""
        return [to_graph(structure, self.config.neighbours) for structure in structures]

    def collate(self, items: Sequence[Any], noise: torch.Generator | None) -> Batch:
        """One batch of graphs."""
        batch = Batch.from_data_list(list(items))
        if noise is not None:
            strain = self.config.strain * torch.randn(batch.num_graphs, 1, generator=noise)
            jitter = self.config.jitter * torch.randn(batch.vector.shape, generator=noise)
            batch.vector = batch.vector * (1 + strain[batch.batch[batch.edge_index[1]]]) + jitter
        return batch

    def predict_tensors(self, systems: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
        """Predict for crystals in tensors, differentiable in their positions and cells.

        Args:
            systems: ``numbers (A,)``, ``frac (A, 3)``, ``cell (3, 3)`` Å of each of S crystals.

        Returns:
            Mean (S,) with gradient, standard deviation (S,) and whether the training data resemble each (S,) without.
        """
        if self.errors is None or self.domain is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        structures = [
            from_data(Data(numbers=n, frac=f.detach(), cell=c.detach()[None], pbc=_PBC)) for n, f, c in systems
        ]
        graphs = Batch.from_data_list([self._graph(*pair) for pair in zip(systems, structures, strict=True)])
        outputs = [network(graphs) for network in self.networks]
        scaled = torch.stack([mean.double() for mean, _, _ in outputs]).mean(0)
        mean = (self.offset + self.scale * scaled).clamp(self.prop.lower, self.prop.upper)
        means, widths = (np.stack([out[k].detach().double().numpy() for out in outputs]) for k in (0, 1))
        _, signals, distance = self._combined(means, np.exp(widths), outputs[0][2].detach().numpy(), self.domain)
        known = torch.from_numpy(self.domain.contains(distance, structures))
        std = self.errors.std(signals, self.regions(structures))
        return mean, torch.from_numpy(std), known

    def _graph(self, system: tuple[Tensor, Tensor, Tensor], structure: Structure) -> Data:
        """Graph of all atoms with vectors that follow ``frac`` and ``cell``."""
        numbers, free, cell = system
        atoms = len(structure)
        receiver, sender, vector = neighbour_edges(structure, np.arange(atoms), self.config.neighbours)
        frac = structure.frac_coords
        images = np.rint(vector @ np.linalg.inv(structure.lattice.matrix) - frac[sender] + frac[receiver])
        # The structure's coordinates are wrapped into the cell, the given ones need not be.
        wrapped = free + torch.from_numpy(np.rint(frac - free.detach().numpy())).to(free)
        to, by = torch.from_numpy(receiver).long(), torch.from_numpy(sender).long()
        return Data(
            numbers=numbers,
            weight=torch.full((atoms,), 1 / atoms),
            edge_index=torch.stack([by, to]),
            vector=((wrapped[by] + torch.from_numpy(images).to(free) - wrapped[to]) @ cell).float(),
            num_nodes=atoms,
        )


_PBC = torch.ones(1, 3, dtype=torch.bool)
