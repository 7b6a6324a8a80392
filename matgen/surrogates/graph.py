"""A deep ensemble of periodic graph networks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pymatgen.core import Composition
from torch_geometric.data import Batch

from matgen.elements import symbols
from matgen.errors import ConfigError
from matgen.features.graph import FARTHEST, first_radius, shells, to_graph
from matgen.features.neighbourhood import Neighbourhood
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.ensemble import DeepEnsemble, EnsembleConfig
from matgen.surrogates.network import GraphNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch import Tensor, nn
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

    def predict_tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Predict for crystals in tensors, differentiable in their positions and cells.

        The mean is that of all members, its gradient that of the first: the members are estimates of one function, and
        each further one would cost as much again in every step that is guided.

        Args:
            batch: S crystals, of which no cell is degenerate: ``numbers (ΣA,)``, ``frac (ΣA, 3)``, ``cell (S, 3, 3)``.

        Returns:
            Mean (S,) with gradient, standard deviation (S,) and whether the training data resemble each (S,) without.
        """
        if self.errors is None or self.domain is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        around = Neighbourhood.of(batch)
        compositions = [
            Composition(Counter(symbols()[z] for z in kinds.tolist())) for kinds in around.split(batch.numbers.numpy())
        ]
        graphs = self._graphs(batch, around)
        outputs = [self.networks[0](graphs)]
        with torch.no_grad():
            outputs += [network(graphs) for network in self.networks[1:]]
        first = outputs[0][0].double()
        scaled = first + (torch.stack([mean.double() for mean, _, _ in outputs]).mean(0) - first).detach()
        mean = (self.offset + self.scale * scaled).clamp(self.prop.lower, self.prop.upper)
        means, widths = (np.stack([out[k].detach().double().numpy() for out in outputs]) for k in (0, 1))
        _, signals, distance = self._combined(means, np.exp(widths), outputs[0][2].detach().numpy(), self.domain)
        known = torch.from_numpy(self.domain.contains(distance, compositions))
        std = self.errors.std(signals, self.regions_of(compositions, mean.detach().numpy()))
        return mean, torch.from_numpy(std), known

    def _graphs(self, batch: Batch, around: Neighbourhood) -> Batch:
        """Graphs of all atoms with vectors that follow ``frac`` and ``cell``."""
        sizes = batch.ptr.diff()
        room = (batch.cell.detach().double().det().abs() / sizes).numpy()
        reach = first_radius(room, self.config.neighbours)
        while True:
            pairs = around.within(reach)
            nearest, count = shells(pairs.centre, pairs.distance, len(batch.numbers), self.config.neighbours)
            few = np.array([n.min() < self.config.neighbours for n in around.split(count)])
            if not (few & (reach < FARTHEST)).any():
                break
            reach = np.where(few, np.minimum(1.4 * reach, FARTHEST), reach)
        pairs = pairs[nearest]
        return Batch(
            batch=batch.batch,
            ptr=batch.ptr,
            numbers=batch.numbers,
            weight=(1 / sizes.float())[batch.batch],
            edge_index=torch.from_numpy(np.stack([pairs.other, pairs.centre])),
            vector=pairs.vectors(batch).float(),
            num_nodes=len(batch.numbers),
        )
