"""The dense, padded view of a batch that attention needs, and the way back.

Shapes: S systems, A atoms of the largest system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch

from matgen.nn.cell import log_stretch, stretch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Crystals:
    """S crystals, padded.

    Args:
        numbers: (S, A) atomic numbers, 0 where undetermined or padding.
        frac: (S, A, 3).
        cell: (S, 6) logarithm of the stretch, see :mod:`matgen.nn.cell`.
        real: (S, A), False on padding.
    """

    numbers: Tensor
    frac: Tensor
    cell: Tensor
    real: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Crystals:
        """The dense view of a batch."""
        numbers, real = to_dense_batch(batch.numbers, batch.batch)
        frac, _ = to_dense_batch(batch.frac.float(), batch.batch)
        return cls(numbers, frac, log_stretch(batch.cell.double()).float(), real)

    def __getitem__(self, rows: Tensor) -> Crystals:
        """The systems at ``rows`` (their indices or a mask)."""
        return Crystals(self.numbers[rows], self.frac[rows], self.cell[rows], self.real[rows])

    def systems(self) -> list[Data]:
        """One ``Data`` a system, in double precision."""
        cells = stretch(self.cell.double())
        pbc = torch.ones(1, 3, dtype=torch.bool)
        return [
            Data(
                numbers=self.numbers[i, keep],
                frac=self.frac[i, keep].double() % 1.0,
                cell=cells[i : i + 1],
                pbc=pbc,
                num_nodes=int(keep.sum()),
            )
            for i, keep in enumerate(self.real.cpu())
        ]

    def batch(self) -> Batch:
        """The same crystals as one ``Batch``."""
        return Batch.from_data_list(self.systems())
