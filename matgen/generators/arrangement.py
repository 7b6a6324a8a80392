"""Whether the elements of a crystal stand on the right sites, by a likelihood that knows only given compositions.

A density given the elements cannot be compared between compositions, whose levels differ by more than arrangements
do. Its ratio to the density of the same sites with the elements permuted can: the levels of composition, size and cell
cancel, as in Bayes' rule for the permutation given the set of sites. Shapes: S systems, A atoms of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch_geometric.data import Batch


def arrangement_margin(
    log_prob: Callable[[Batch], Tensor], batch: Batch, rng: torch.Generator, others: int = 4
) -> Tensor:
    """(S,) nats an atom by which crystals are likelier than themselves with the elements permuted among the sites.

    (log p(x) - mean_k log p(π_k x)) / A over ``others`` random permutations π_k; NaN for crystals of one element.

    Args:
        log_prob: (S,) log density in nats of a batch.
        batch: Crystals as ``log_prob`` wants them.
        rng: Of the permutations.
        others: Permutations of each crystal; each costs as much as the crystal itself.
    """
    elements = torch.tensor([len(numbers.unique()) for numbers in numbers_of(batch)])
    permuted = [log_prob(rearranged(batch, rng)) for _ in range(others)]
    margin = (log_prob(batch) - torch.stack(permuted).mean(0)) / torch.bincount(batch.batch)
    return margin.masked_fill(elements == 1, torch.nan)


def rearranged(batch: Batch, rng: torch.Generator) -> Batch:
    """The same sites and compositions with another element on at least two sites of each crystal, where it has two."""
    parts = []
    for numbers in numbers_of(batch):
        mixed = numbers[torch.randperm(len(numbers), generator=rng)]
        while (mixed == numbers).all() and (numbers != numbers[0]).any():
            mixed = numbers[torch.randperm(len(numbers), generator=rng)]
        parts.append(mixed)
    other = batch.clone()
    other.numbers = torch.cat(parts)
    return other


def numbers_of(batch: Batch) -> tuple[Tensor, ...]:
    """Atomic numbers (A,) of each system."""
    return batch.numbers.split(torch.bincount(batch.batch).tolist())
