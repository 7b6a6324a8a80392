"""Message passing on the atoms and bonds of a molecule, to one vector that no renumbering of atoms changes.

Shapes: S molecules, A atoms of all, E directed bonds, D width, C size of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch_geometric.nn import GINEConv, global_add_pool

from matgen.features.molecules import ATOM_FEATURES, BOND_FEATURES

if TYPE_CHECKING:
    from matgen.generators.molecule_graphs import Graphs

TYPICAL_ATOMS = 20
"""Sums over the atoms of a molecule are divided by it, so that they begin near one."""

MEANS_BEGIN = 0.2
"""Standard deviation of the weights behind the means, with which codes begin as spread as they are to become."""


class BondEncoder(nn.Module):
    """Molecules to mean and log variance of one code each (GINE: Hu et al., ICLR 2020).

    Besides its chemistry an atom knows its place in the canonical SMILES, a property of the molecule and not of its
    numbering. Without it a decoder of SMILES has to find the order of writing in the code, which it learns slowly.

    Args:
        code: C.
        width: D.
        layers: Rounds of messages.
        places: Most heavy atoms of a molecule.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, code: int, width: int, layers: int, places: int) -> None:
        super().__init__()
        self.atoms = nn.Linear(ATOM_FEATURES, width)
        self.places = nn.Embedding(places, width)
        self.before = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.rounds = nn.ModuleList(GINEConv(_update(width), edge_dim=BOND_FEATURES) for _ in range(layers))
        self.register_buffer("centre", torch.zeros(3 * width))
        self.register_buffer("spread", torch.ones(3 * width))
        self.pooled = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.SiLU())
        last = nn.Linear(2 * width, 2 * code)
        self.readout = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.SiLU(), last)
        # Begin with means that tell molecules apart and with little noise, in which a code would drown unlearned.
        nn.init.normal_(last.weight[:code], std=MEANS_BEGIN)
        nn.init.constant_(last.bias[code:], -5.0)

    def forward(self, graphs: Graphs) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (S, C) each."""
        mean, log_variance = self.readout((self.sums(graphs) - self.centre) / self.spread).chunk(2, dim=-1)
        return mean.float(), log_variance.float().clamp(-10, 2)

    @torch.no_grad()
    def standardise(self, graphs: Graphs) -> None:
        """Take centre and spread of the sums, so that from the first step codes tell molecules apart.

        Sums over similar molecules differ little from each other: as they are, the noise of the code would drown them.
        """
        sums = self.sums(graphs)
        self.centre.copy_(sums.mean(0))
        self.spread.copy_(sums.std(0, correction=0).clamp_min(1e-3))

    def sums(self, graphs: Graphs) -> Tensor:
        """(S, 3D) features of atoms after all rounds, added up over each molecule."""
        h = self.atoms(graphs.atoms.float()) + self.places(graphs.places)
        for norm, messages in zip(self.before, self.rounds, strict=True):
            h = h + messages(norm(h), graphs.edge_index, graphs.bonds.float())
        return global_add_pool(self.pooled(h).float(), graphs.owner, graphs.n)


def _update(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
