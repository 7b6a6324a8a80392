"""A deep ensemble of message-passing networks on atoms and bonds.

Gilmer et al., ICML 2017; sums over neighbours after Xu et al., ICLR 2019.

Shapes: S molecules, A atoms, E directed bonds, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.utils import scatter

from matgen.features.molecules import ATOM_FEATURES, BOND_FEATURES, compositions, to_bond_graph
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.ensemble import DeepEnsemble, EnsembleConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Composition, Structure
    from torch_geometric.data import Data


class BondNetwork(nn.Module):
    """Rounds of messages along bonds, each with a vector that all atoms of a molecule share.

    Args:
        width: W.
        layers: Rounds.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.atoms = nn.Linear(ATOM_FEATURES, width)
        self.bonds = nn.ModuleList(nn.Linear(BOND_FEATURES, width) for _ in range(layers))
        self.updates = nn.ModuleList(
            nn.Sequential(nn.Linear(3 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width), nn.LayerNorm(width))
            for _ in range(layers)
        )
        self.body = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean = nn.Linear(width, 1)
        self.log_scale = nn.Sequential(nn.Linear(width, width // 2), nn.SiLU(), nn.Linear(width // 2, 1))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled mean (S,), log width (S,) and embedding (S, W)."""
        h, (sender, receiver), n = self.atoms(batch.atoms), batch.edge_index, batch.num_graphs
        for bond, update in zip(self.bonds, self.updates, strict=True):
            messages = nn.functional.silu(h[sender] + bond(batch.bonds))
            near = scatter(messages, receiver, dim=0, dim_size=len(h), reduce="sum")
            whole = scatter(h, batch.batch, dim=0, dim_size=n, reduce="mean")[batch.batch]
            h = h + update(torch.cat([h, near, whole], dim=1))
        pooled = [scatter(h, batch.batch, dim=0, dim_size=n, reduce=r) for r in ("mean", "max", "sum")]
        embedding = self.body(torch.cat([pooled[0], pooled[1], pooled[2] / 10], dim=1))
        return self.mean(embedding)[:, 0], self.log_scale(embedding.detach())[:, 0], embedding


@dataclass(frozen=True)
class BondConfig(EnsembleConfig):
    """Settings of :class:`MoleculeGraphEnsemble`.

    Args:
        width: W.
        layers: Rounds of messages.
    """

    members: int = 2
    epochs: int = 40
    restart_epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    width: int = 128
    layers: int = 4


@SURROGATES.register("molecule-graph")
class MoleculeGraphEnsemble(DeepEnsemble):
    """Message passing on atoms and bonds; takes structures without periodic axes, or SMILES."""

    name = "molecule-graph"
    reads = "molecules"
    config_class = BondConfig
    config: BondConfig

    def network(self) -> nn.Module:
        """A network with the configured sizes."""
        return BondNetwork(self.config.width, self.config.layers)

    def items(self, structures: Sequence[Structure | str]) -> list[Data]:
        """Graphs of atoms and bonds."""
        return [to_bond_graph(structure) for structure in structures]

    def compositions(self, structures: Sequence[Any]) -> Sequence[Composition]:
        """Elements of each molecule, hydrogens included."""
        return compositions(structures)

    def regions(self, structures: Sequence[Any]) -> None:
        """Molecules have no regions of chemistry here."""

    def collate(self, items: Sequence[Any], noise: torch.Generator | None) -> Batch:
        """One batch of graphs."""
        return Batch.from_data_list(list(items))
