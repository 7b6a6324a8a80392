"""A deep ensemble of periodic graph networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data import Batch

from matgen.features.graph import to_graph
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.ensemble import DeepEnsemble, EnsembleConfig
from matgen.surrogates.network import GraphNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch import nn
    from torch_geometric.data import Data


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
