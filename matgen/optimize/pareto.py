"""Fronts of candidates that no other beats in every objective.

Shapes: n candidates, m objectives.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 256


def pareto_fronts(losses: np.ndarray) -> np.ndarray:
    """(n,) number of each candidate's front: 1 where no candidate is at least as good in all and better in one.

    Front k is the first front of what the fronts before it leave (non-dominated sorting: Deb et al., IEEE Trans.
    Evol. Comput. 6, 182, 2002).

    Args:
        losses: (n, m) values to be minimised; infinite values are allowed.
    """
    n = len(losses)
    front = np.zeros(n, dtype=int)
    beaten_by = np.concatenate([_dominators(losses, start) for start in range(0, n, _BLOCK)]) if n else np.zeros(0)
    number = 0
    while (left := front == 0).any():
        number += 1
        members = np.flatnonzero(left & (beaten_by == 0))
        front[members] = number
        for start in range(0, len(members), _BLOCK):
            beaten_by -= _dominates(losses[members[start : start + _BLOCK]], losses).sum(axis=0)
    return front


def _dominators(losses: np.ndarray, start: int) -> np.ndarray:
    """For a block of candidates, how many dominate each."""
    return _dominates(losses, losses[start : start + _BLOCK]).sum(axis=0)


def _dominates(better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """(a, b) whether each of a candidates dominates each of b."""
    no_worse: np.ndarray = np.all(better[:, None] <= worse[None], axis=2)
    return no_worse & np.any(better[:, None] < worse[None], axis=2)
