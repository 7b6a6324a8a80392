"""Which atoms of a batch of crystals lie within reach of each other, found once for all that ask.

Shapes: S systems, ΣA atoms of all systems, E ordered pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.features.distances import reduction
from matgen.features.neighbours import pairs_within

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Batch


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of atoms.

    Args:
        system: (E,) which crystal.
        centre: (E,) index among all atoms of the batch.
        other: (E,) likewise.
        image: (E, 3) whole translations of the other.
        distance: (E,) Å.
    """

    system: np.ndarray
    centre: np.ndarray
    other: np.ndarray
    image: np.ndarray
    distance: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Pairs:
        """Some of them, by a mask or indices."""
        return Pairs(*(x[chosen] for x in (self.system, self.centre, self.other, self.image, self.distance)))

    def vectors(self, batch: Batch) -> torch.Tensor:
        """(E, 3) Å from centre to other, differentiable in ``frac`` and ``cell`` of the batch."""
        import torch

        frac, cell = batch.frac, batch.cell
        system, centre, other, image = (
            torch.as_tensor(x, device=frac.device) for x in (self.system, self.centre, self.other, self.image)
        )
        return ((frac[other] + image.to(frac) - frac[centre])[:, None] @ cell[system])[:, 0]

    def lengths(self, batch: Batch) -> torch.Tensor:
        """(E,) distances in Å, differentiable likewise."""
        return self.vectors(batch).square().sum(-1).clamp_min(1e-12).sqrt()  # the root has no gradient at zero


class Neighbourhood:
    """The pairs of atoms of each crystal of a batch, as far as anyone has asked.

    To find them takes longer than most that is done with them. A batch that carries one, as its ``neighbourhood``,
    shares it among all that judge its positions; those must not change.

    Args:
        batch: ``frac (ΣA, 3)``, ``cell (S, 3, 3)`` Å with rows a, b, c.
    """

    def __init__(self, batch: Batch) -> None:
        frac, self._cells = (x.detach().double().cpu().numpy() for x in (batch.frac, batch.cell))
        self.first = batch.ptr.tolist()
        self._fracs = [frac[start:end] for start, end in zip(self.first, self.first[1:], strict=False)]
        self._changes = [
            reduction(c) if np.isfinite(f).all() else None for f, c in zip(self._fracs, self._cells, strict=True)
        ]
        self.usable = np.array([change is not None for change in self._changes])
        """(S,) whether all numbers are finite and the cell spans a volume; others have no pairs."""
        self._reach = np.zeros(len(self._cells))
        self._found = [_none(i) for i in range(len(self._cells))]

    @classmethod
    def of(cls, batch: Batch) -> Neighbourhood:
        """The one that the batch carries, else a new one."""
        return batch.neighbourhood if "neighbourhood" in batch else cls(batch)

    def within(self, reach: np.ndarray) -> Pairs:
        """All pairs within a distance of each other, periodic images included.

        Args:
            reach: (S,) Å.
        """
        for i in np.flatnonzero(self.usable & (reach > self._reach)):
            self._found[i], self._reach[i] = self._search(int(i), float(reach[i])), reach[i]
        parts = (vars(pairs).values() for pairs in self._found)
        every = Pairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        return every[every.distance <= reach[every.system]]

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """What belongs to the atoms (ΣA, ...) of the batch, by system."""
        return np.split(values, self.first[1:-1])

    def summed(self, system: np.ndarray, values: torch.Tensor, blank: float) -> torch.Tensor:
        """(S,) sums of values (E,) by system (E,), and ``blank`` where cells are degenerate or not finite."""
        import torch

        total = torch.as_tensor(np.where(self.usable, 0.0, blank)).to(values)
        return total.index_add(0, torch.as_tensor(system, device=values.device), values)

    def _search(self, i: int, reach: float) -> Pairs:
        frac, cell = self._fracs[i], self._cells[i]
        centre, other, image = pairs_within(frac, cell, reach, self._changes[i])
        vectors = (frac[other] + image - frac[centre]) @ cell
        at = self.first[i]
        return Pairs(np.full(len(centre), i), centre + at, other + at, image, np.sqrt((vectors**2).sum(1)))


def _none(system: int) -> Pairs:
    whole = np.zeros(0, dtype=int)
    return Pairs(whole + system, whole, whole, np.zeros((0, 3), dtype=int), np.zeros(0))
