"""Molecular graphs beside token sequences: what a molecule's encoder reads and what its decoder learns to write.

Shapes: M molecules, A atoms of all, E directed bonds, C size of a code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from rdkit import Chem
from torch import Tensor

from matgen.data.molecules import canonical, parse_smiles
from matgen.features.molecules import BOND_FEATURES, bond_graph_of
from matgen.generators.notation import kekule_order
from matgen.generators.sequences import SequenceSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import Batch


@dataclass(frozen=True)
class Graphs:
    """M molecules as one graph of many pieces.

    Args:
        atoms: (A, ATOM_FEATURES) zeros and ones.
        places: (A,) of each atom in its molecule's SMILES.
        owner: (A,) molecule of each atom, 0 to M - 1.
        edge_index: (2, E) atoms that a bond joins, both directions.
        bonds: (E, BOND_FEATURES) zeros and ones.
        n: M.
    """

    atoms: Tensor
    places: Tensor
    owner: Tensor
    edge_index: Tensor
    bonds: Tensor
    n: int

    @classmethod
    def of(cls, smiles: Sequence[str]) -> Graphs:
        """Graphs of molecules by SMILES. They start from the canonical one, so that the spelling does not matter."""
        found = [parse_smiles(canonical(text)) for text in smiles]
        graphs = [bond_graph_of(molecule) for molecule in found]
        sizes = torch.tensor([graph.num_nodes for graph in graphs])
        first = sizes.cumsum(0) - sizes
        edges = [graph.edge_index + begin for graph, begin in zip(graphs, first.tolist(), strict=True)]
        return cls(
            atoms=torch.cat([graph.atoms.to(torch.uint8) for graph in graphs]),
            places=torch.cat([torch.tensor(kekule_order(molecule)) for molecule in found]),
            owner=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
            edge_index=torch.cat(edges, dim=1),
            bonds=torch.cat([graph.bonds.to(torch.uint8).reshape(-1, BOND_FEATURES) for graph in graphs]),
            n=len(graphs),
        )

    @classmethod
    def in_batch(cls, batch: Batch) -> Graphs:
        """Those that :meth:`MoleculeSet.batch` put into a batch."""
        tensors = {field.name: batch[f"graph_{field.name}"] for field in fields(cls) if field.name != "n"}
        return cls(**tensors, n=len(batch.tokens))

    @cached_property
    def sizes(self) -> Tensor:
        """(M,) atoms of each molecule."""
        return torch.bincount(self.owner, minlength=self.n)

    @cached_property
    def bond_counts(self) -> Tensor:
        """(M,) directed bonds of each molecule."""
        return torch.bincount(self.owner[self.edge_index[0]], minlength=self.n)

    def select(self, molecules: Tensor) -> Graphs:
        """The molecules at these indices (M',), in this order; one may occur twice."""
        atoms, owner = _rows(self.sizes, molecules)
        bonds, piece = _rows(self.bond_counts, molecules)
        first = self.sizes.cumsum(0) - self.sizes
        size = self.sizes[molecules]
        moved = size.cumsum(0) - size - first[molecules]
        return Graphs(
            self.atoms[atoms],
            self.places[atoms],
            owner,
            self.edge_index[:, bonds] + moved[piece],
            self.bonds[bonds],
            len(molecules),
        )


@dataclass(frozen=True)
class MoleculeSet(SequenceSet):
    """Token sequences with the graph of each molecule.

    Args:
        graphs: By molecule, as ``owner`` counts them.
    """

    graphs: Graphs

    @classmethod
    def join(cls, sequences: SequenceSet, graphs: Graphs) -> MoleculeSet:
        """Sequences and the graphs of their molecules."""
        return cls(**vars(sequences), graphs=graphs)

    def batch(self, indices: Tensor) -> Batch:
        """As of :class:`SequenceSet`, with the graphs under names that begin with ``graph_``."""
        batch = super().batch(indices)
        chosen = self.graphs.select(self.owner[indices])
        for field in fields(chosen):
            if field.name != "n":
                batch[f"graph_{field.name}"] = getattr(chosen, field.name)
        return batch

    def part(self, indices: Tensor) -> MoleculeSet:
        """The sequences at ``indices`` as a set of their own."""
        return MoleculeSet.join(super().part(indices), self.graphs)


def without_stereo(smiles: str) -> str:
    """Canonical SMILES of what a line notation without stereochemistry and isotopes can hold."""
    molecule = parse_smiles(smiles)
    return str(Chem.CanonSmiles(Chem.MolToSmiles(molecule, isomericSmiles=False)))


def _rows(counts: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the chosen owners one after the other, and which of the chosen each belongs to.

    Args:
        counts: (M,) rows of each owner; they lie in order.
        chosen: (M',) owners.
    """
    begin, size = counts.cumsum(0) - counts, counts[chosen]
    piece = torch.repeat_interleave(torch.arange(len(chosen)), size)
    inside = torch.arange(len(piece)) - (size.cumsum(0) - size)[piece]
    return begin[chosen][piece] + inside, piece
