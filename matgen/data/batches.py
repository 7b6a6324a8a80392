"""Structures as tensors for training: canonical cells, and batches in which all systems have a similar size.

Shapes: S systems, A atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from matgen.data.structures import is_molecule, wrap
from matgen.data.symmetry import space_group_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

BOX = 32.0
"""Å; edge of the box around a molecule. Differences of positions stay under half of it, where torus and space agree."""


def canonical(structure: Structure) -> Structure:
    """The same crystal in its right-handed Niggli cell (Křivý & Gruber, Acta Cryst. A 32, 297, 1976)."""
    import spglib

    cell = spglib.niggli_reduce(structure.lattice.matrix)
    if cell is None:
        return structure
    frac = structure.lattice.get_cartesian_coords(structure.frac_coords) @ np.linalg.inv(cell)
    if np.linalg.det(cell) < 0:
        cell, frac = -cell, -frac
    return Structure(cell, structure.species, wrap(frac))


def boxed(molecule: Structure) -> Structure:
    """The same molecule in a cubic box of :data:`BOX`, its atoms around the middle."""
    middle = molecule.cart_coords - molecule.cart_coords.mean(0) + BOX / 2
    return Structure(Lattice.cubic(BOX, pbc=(False, False, False)), molecule.species, middle, coords_are_cartesian=True)


@dataclass(frozen=True)
class TrainingSet:
    """All structures of a data set as flat tensors.

    Args:
        numbers: (ΣA,) atomic numbers.
        frac: (ΣA, 3).
        cell: (S, 3, 3) Å.
        sizes: (S,) atoms of each system.
        system: (S,) values by name: ``space_group`` (0 unknown), ``isolated`` (molecules, in a box of their own) and
            each target (NaN unknown).
    """

    numbers: Tensor
    frac: Tensor
    cell: Tensor
    sizes: Tensor
    system: dict[str, Tensor]

    @classmethod
    def build(cls, structures: Sequence[Structure], targets: Mapping[str, Sequence[float]]) -> TrainingSet:
        """Bring crystals to canonical cells and find their space groups; put molecules into boxes."""
        cells = [boxed(s) if is_molecule(s) else canonical(s) for s in structures]
        system = {name: torch.as_tensor(np.asarray(values, dtype=np.float32)) for name, values in targets.items()}
        system["isolated"] = torch.tensor([is_molecule(s) for s in structures])
        groups = [
            0 if is_molecule(s) else space_group_number(cell) or 0 for s, cell in zip(structures, cells, strict=True)
        ]
        system["space_group"] = torch.tensor(groups)
        return cls(
            numbers=torch.tensor([z for s in cells for z in s.atomic_numbers]),
            frac=torch.from_numpy(np.concatenate([s.frac_coords for s in cells])).float(),
            cell=torch.from_numpy(np.stack([s.lattice.matrix for s in cells])).float(),
            sizes=torch.tensor([len(s) for s in cells]),
            system=system,
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def isolated(self) -> Tensor:
        """(S,) which systems are molecules."""
        return self.system.get("isolated", torch.zeros(len(self), dtype=torch.bool))

    def batch(self, indices: Tensor) -> Batch:
        """The systems at ``indices`` as one torch-geometric ``Batch``."""
        starts = torch.cumsum(self.sizes, 0) - self.sizes
        sizes = self.sizes[indices]
        owner = torch.repeat_interleave(torch.arange(len(indices)), sizes)
        ptr = torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])
        atoms = starts[indices][owner] + torch.arange(len(owner)) - ptr[owner]
        isolated = self.isolated[indices]
        fields = {name: values[indices] for name, values in self.system.items()} | {"isolated": isolated}
        return Batch(
            batch=owner,
            ptr=ptr,
            numbers=self.numbers[atoms],
            frac=self.frac[atoms],
            cell=self.cell[indices],
            pbc=~isolated[:, None].expand(-1, 3),
            **fields,
        )

    def part(self, indices: Tensor) -> TrainingSet:
        """The systems at ``indices`` as a training set of their own."""
        batch = self.batch(indices)
        system = {name: values[indices] for name, values in self.system.items()}
        return TrainingSet(batch.numbers, batch.frac, batch.cell, self.sizes[indices], system)

    def split(self, share: float, rng: np.random.Generator) -> tuple[TrainingSet, TrainingSet]:
        """A random share of the systems, and the rest."""
        order = torch.from_numpy(rng.permutation(len(self)))
        cut = round(share * len(self))
        return self.part(order[:cut].sort().values), self.part(order[cut:].sort().values)

    def epoch(self, atoms: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Shuffled batches of indices; each holds systems of similar size and about ``atoms`` atoms."""
        sizes = self.sizes.numpy()
        order = np.lexsort((rng.random(len(sizes)), sizes + rng.integers(0, 2, len(sizes))))
        edges = np.searchsorted(np.cumsum(sizes[order]), np.arange(atoms, sizes.sum(), atoms))
        batches = [chunk for chunk in np.split(order, edges) if len(chunk)]
        for i in rng.permutation(len(batches)):
            yield torch.from_numpy(batches[i])
