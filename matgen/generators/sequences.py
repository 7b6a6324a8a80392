"""Token sequences for training, with the interface of :class:`matgen.data.batches.TrainingSet`.

Shapes: S sequences, L tokens of the longest, T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch_geometric.data import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

GRAIN = 4
"""Lengths of batches are multiples of it."""


@dataclass(frozen=True)
class SequenceSet:
    """All molecules of a data set as flat tokens; a molecule may be written in several orders.

    Args:
        tokens: (ΣL,) numbers of tokens; each sequence ends with 0, the end.
        sizes: (S,) tokens of each sequence.
        owner: (S,) molecule that each sequence writes.
        rooted: (S,) whether it begins at an arbitrary atom instead of the canonical one.
        system: Values of the molecules by target name, NaN where unknown.
    """

    tokens: Tensor
    sizes: Tensor
    owner: Tensor
    rooted: Tensor
    system: dict[str, Tensor]

    @classmethod
    def build(cls, sequences: Sequence[Sequence[Sequence[int]]], targets: Mapping[str, Sequence[float]]) -> SequenceSet:
        """From the numbered tokens of each molecule's orders, the canonical one first."""
        flat = [order for orders in sequences for order in orders]
        return cls(
            tokens=torch.tensor([token for order in flat for token in order]),
            sizes=torch.tensor([len(order) for order in flat]),
            owner=torch.tensor([i for i, orders in enumerate(sequences) for _ in orders]),
            rooted=torch.tensor([k > 0 for orders in sequences for k in range(len(orders))]),
            system={name: torch.as_tensor(np.asarray(v, dtype=np.float32)) for name, v in targets.items()},
        )

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, indices: Tensor) -> Batch:
        """The sequences at ``indices``: ``tokens (S, L)`` with -1 on padding, ``rooted (S,)`` and the targets."""
        starts = torch.cumsum(self.sizes, 0) - self.sizes
        sizes = self.sizes[indices]
        places = torch.arange(int(padded(sizes).max()))
        real = places < sizes[:, None]
        at = (starts[indices][:, None] + places).clamp(max=len(self.tokens) - 1)
        molecules = self.owner[indices]
        return Batch(
            tokens=self.tokens[at].where(real, -1),
            rooted=self.rooted[indices],
            **{name: values[molecules] for name, values in self.system.items()},
        )

    def part(self, indices: Tensor) -> SequenceSet:
        """The sequences at ``indices`` as a set of their own."""
        flat = self.batch(indices).tokens
        return SequenceSet(flat[flat >= 0], self.sizes[indices], self.owner[indices], self.rooted[indices], self.system)

    def split(self, share: float, rng: np.random.Generator) -> tuple[SequenceSet, SequenceSet]:
        """All sequences of a random share of the molecules, and the rest."""
        molecules = int(self.owner.max()) + 1
        chosen = torch.zeros(molecules, dtype=torch.bool)
        chosen[torch.from_numpy(rng.permutation(molecules)[: round(share * molecules)])] = True
        held_out = chosen[self.owner]
        return self.part(held_out.nonzero()[:, 0]), self.part((~held_out).nonzero()[:, 0])

    def epoch(self, atoms: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Shuffled batches of indices; each holds sequences of one padded length, together about ``atoms`` tokens."""
        return lengths_alike(self.sizes, atoms, rng)


def lengths_alike(sizes: Tensor, tokens: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Shuffled batches of indices; each holds sequences of one padded length, together about ``tokens`` tokens."""
    rounded = padded(sizes).numpy()
    order = np.lexsort((rng.random(len(rounded)), rounded))
    edges = np.flatnonzero(np.diff(rounded[order])) + 1
    batches = [
        bucket[i : i + per]
        for bucket in np.split(order, edges)
        for per in [max(1, tokens // int(rounded[bucket[0]]))]
        for i in range(0, len(bucket), per)
    ]
    for i in rng.permutation(len(batches)):
        yield torch.from_numpy(batches[i])


def padded(sizes: Tensor) -> Tensor:
    """Lengths rounded up, so that few shapes occur: kernels of a new shape are compiled first."""
    return (sizes + GRAIN - 1) // GRAIN * GRAIN
