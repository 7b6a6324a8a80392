"""Element choices that are still open while the atoms of a cell are being determined.

Shapes: S systems, A atoms, Z atomic numbers (0 to 118; 0 is "undetermined").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matgen.elements import N_NUMBERS
from matgen.elements import numbers as numbers_by_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch


def tally(numbers: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count what is determined.

    Args:
        numbers: (S, A) atomic numbers, 0 where undetermined.
        real: (S, A) False on padding.

    Returns:
        ``counts (S, Z)`` of determined atoms by element and ``left (S,)`` undetermined atoms.
    """
    counts = _one_hot(numbers, real).sum(1)
    counts[:, 0] = 0
    return counts, (real & (numbers == 0)).sum(1)


def spread(allowed: torch.Tensor, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """(S, A, Z) mask from the elements ``allowed (S, Z)`` for the next atom of each system.

    Undetermined atoms get the allowed elements; determined ones keep their own, padding keeps 0.
    """
    choosing = (real & (numbers == 0))[:, :, None]
    allowed = allowed.clone()
    allowed[:, 0] = False
    return allowed[:, None].where(choosing, _one_hot(numbers, real).bool())


def indicator(symbols: Iterable[str], like: torch.Tensor) -> torch.Tensor:
    """(Z,) True at the given elements, on the device of ``like``."""
    table = like.new_zeros(N_NUMBERS).bool()
    table[[numbers_by_symbol()[symbol] for symbol in symbols]] = True
    return table


def _one_hot(numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import one_hot

    return one_hot(numbers.where(real, 0), N_NUMBERS)
