"""Constraints that the composition decides: check and mask from one vectorised rule.

While a cell is filled atom by atom, an element is allowed if some filling of the remaining atoms by one element makes
the whole cell pass: by the element itself, by one that the cell holds, or by one of a few that help. Such a filling,
once it exists, exists after each of its own steps, so the mask has no dead ends and what it allows passes the check.
Shapes: N compositions, S systems, A atoms, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import Constraint, Verdict
from matgen.constraints.choices import spread, tally
from matgen.elements import N_NUMBERS, numbers, symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure

Held = tuple[tuple[int, int], ...]
"""(atomic number, atoms) of the elements that are determined, ascending."""


class Decided(Constraint):
    """The composition decides; subclasses say what is measured, whether it passes, and why not."""

    fillers: ClassVar[tuple[str, ...]] = ()
    """Elements that help a cell to pass, looked at as fillings besides those that it holds."""

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) numbers behind the decision from atoms ``counts (N, Z)``."""
        raise NotImplementedError

    def accepts(self, counts: np.ndarray) -> np.ndarray:
        """(N,) whether compositions of atoms ``counts (N, Z)`` pass."""
        raise NotImplementedError

    def why(self, counts: np.ndarray) -> str:
        """What a chemist would say of one composition (Z,) that does not pass."""
        raise NotImplementedError

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the composition does."""
        counts = counts_of([structure.atomic_numbers for structure in structures])
        passed = self.accepts(counts)
        reasons = [None if ok else self.why(row) for ok, row in zip(passed, counts, strict=True)]
        return Verdict.of(self.scores(counts).tolist(), reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements after which a filling passes (:mod:`.decided`)."""
        counts, left = tally(numbers, real)
        found = np.ones(counts.shape, dtype=bool)
        for i, (row, places) in enumerate(zip(counts.cpu().numpy(), left.tolist(), strict=True)):
            if places:
                found[i] = self.open_elements(tuple((int(z), int(row[z])) for z in np.flatnonzero(row)), places)
        return spread(counts.new_tensor(found).bool(), numbers, real)

    def permits(self, numbers: np.ndarray) -> bool:
        """Whether a composition passes the check."""
        return bool(self.accepts(counts_of([numbers]))[0])

    def open_elements(self, held: Held, left: int) -> np.ndarray:
        """(Z,) elements that the next of ``left`` atoms may become."""
        return fillable(self, held, left)


@lru_cache(maxsize=50_000)
def fillable(constraint: Decided, held: Held, left: int) -> np.ndarray:
    """(Z,) elements for the next of ``left`` atoms after which a filling by one element passes."""
    base = np.zeros(N_NUMBERS, dtype=int)
    for z, atoms in held:
        base[z] = atoms
    grown = base + np.eye(N_NUMBERS, dtype=int)[1:]
    rest = left - 1
    itself = grown.copy()
    itself[np.arange(N_NUMBERS - 1), np.arange(1, N_NUMBERS)] += rest
    allowed = np.zeros(N_NUMBERS, dtype=bool)
    allowed[1:] = constraint.accepts(itself)
    fillers = {z for z, _ in held} | {numbers()[symbol] for symbol in constraint.fillers} if rest else set()
    for filler in sorted(fillers):
        unsettled = np.flatnonzero(~allowed[1:])
        filled = grown[unsettled]
        filled[:, filler] += rest
        allowed[unsettled + 1] = constraint.accepts(filled)
    allowed.flags.writeable = False
    return allowed


def counts_of(cells: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """(N, Z) atoms by element of cells given as atomic numbers."""
    counts = np.zeros((len(cells), N_NUMBERS), dtype=int)
    for row, cell in zip(counts, cells, strict=True):
        np.add.at(row, np.asarray(cell, dtype=int), 1)
    return counts


def reduced_formula(counts: np.ndarray) -> str:
    """Reduced formula of atoms (Z,) by element."""
    from pymatgen.core import Composition

    return str(Composition({symbols()[z]: int(counts[z]) for z in np.flatnonzero(counts)}).reduced_formula)


def without_value(table: np.ndarray, counts: np.ndarray) -> str:
    """Elements of a composition (Z,) for which a table (Z,) holds no value, in words."""
    return " and ".join(symbols()[z] for z in np.flatnonzero(counts) if np.isnan(table[z]))
