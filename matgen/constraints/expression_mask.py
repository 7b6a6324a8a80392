"""The mask of a rule that the composition decides, by looking at every cell that could come of it.

A rule sees a composition only through the atoms of the elements that it names, and perhaps the number of elements. Of
those numbers a cell of A atoms has few combinations; which of them keep the rule is worked out once. An element is
allowed if some such combination can still be reached with it. Shapes: S systems, A atoms, Z atomic numbers, K named
elements, C combinations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.choices import spread, tally
from matgen.elements import N_NUMBERS, numbers, symbols
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from matgen.constraints.expression import Expression

MOST_ELEMENTS = 5
MOST_COMBINATIONS = 300_000


@dataclass(frozen=True)
class OfCounts:
    """The facts of a composition.

    Args:
        amounts: Atoms by symbol.
        atoms: Of the cell.
        kinds: Different elements.
    """

    amounts: dict[str, int]
    atoms: int
    kinds: int

    @classmethod
    def of(cls, cell: np.ndarray) -> OfCounts:
        """The facts of a cell given as atomic numbers."""
        found, counts = np.unique(cell, return_counts=True)
        amounts = {symbols()[z]: int(n) for z, n in zip(found, counts, strict=True)}
        return cls(amounts, len(cell), len(amounts))

    def n(self, symbol: str) -> float:
        """Atoms of an element."""
        return float(self.amounts.get(symbol, 0))

    def quantity(self, name: str) -> float:
        """``n_atoms`` or ``n_elements``."""
        return float({"n_atoms": self.atoms, "n_elements": self.kinds}[name])


def rule_mask(rule: Expression, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """(S, A, Z) True at elements after which the rule can still hold; arguments as for any mask."""
    counts, left = tally(numbers, real)
    found = np.ones(counts.shape, dtype=bool)
    for i, (row, places) in enumerate(zip(counts.cpu().numpy(), left.tolist(), strict=True)):
        if places:
            found[i] = _open(rule, row, places)
    return spread(counts.new_tensor(found).bool(), numbers, real)


def _open(rule: Expression, counts: np.ndarray, left: int) -> np.ndarray:
    """(Z,) elements for the next of ``left`` atoms beside determined ones ``counts (Z,)``."""
    named = np.array([numbers()[symbol] for symbol in rule.elements], dtype=int)
    other = np.ones(N_NUMBERS, dtype=bool)
    other[[0, *named]] = False
    goals = _goals(rule, int(counts.sum()) + left)
    others, kinds = int(counts[other].sum()), int((counts[other] > 0).sum())
    allowed = np.zeros(N_NUMBERS, dtype=bool)
    for column, z in enumerate(named):
        allowed[z] = goals.reachable(counts[named] + (np.arange(len(named)) == column), others, kinds)
    allowed[other & (counts > 0)] = goals.reachable(counts[named], others + 1, kinds)
    allowed[other & (counts == 0)] = goals.reachable(counts[named], others + 1, kinds + 1)
    return allowed


@dataclass(frozen=True)
class Goals:
    """Combinations with which a rule holds.

    Args:
        named: (C, K) atoms of the named elements.
        others: (C,) atoms of other elements.
        kinds: (C,) number of other elements, or None where the rule does not ask.
    """

    named: np.ndarray
    others: np.ndarray
    kinds: np.ndarray | None

    def reachable(self, named: np.ndarray, others: int, kinds: int) -> bool:
        """Whether atoms can be added to these so that the rule holds."""
        fits = (self.named >= named).all(1) & (self.others >= others)
        if self.kinds is not None:
            fits &= (self.kinds >= kinds) & (self.kinds - kinds <= self.others - others)
        return bool(fits.any())


@lru_cache(maxsize=500)
def _goals(rule: Expression, atoms: int) -> Goals:
    """The combinations in a cell of so many atoms with which the rule holds."""
    counted = "n_elements" in rule.quantities
    if comb(atoms + len(rule.elements), atoms) * (atoms if counted else 1) > MOST_COMBINATIONS:
        raise ConfigError(
            f"the rule leaves too many combinations in a cell of {atoms} atoms to be a mask.",
            where=rule.name,
            fix="Name fewer elements, ask for smaller cells, or say roles: [check].",
        )
    rows: list[tuple[int, ...]] = []
    for named in _splits(atoms, len(rule.elements)):
        others = atoms - sum(named)
        amounts, present = dict(zip(rule.elements, named, strict=True)), sum(n > 0 for n in named)
        most = min(others, N_NUMBERS - 1 - len(named))
        kinds = range(min(others, 1), most + 1) if counted else [0]
        rows += [(*named, others, k) for k in kinds if rule.holds(OfCounts(amounts, atoms, present + k))]
    table = np.array(rows, dtype=int).reshape(-1, len(rule.elements) + 2)
    return Goals(table[:, :-2], table[:, -2], table[:, -1] if counted else None)


def _splits(atoms: int, parts: int) -> Sequence[tuple[int, ...]]:
    """Every way to give at most ``atoms`` atoms to ``parts`` elements, in order."""
    bars = combinations(range(atoms + parts), parts)
    return [tuple(b - a - 1 for a, b in zip((-1, *cut), cut, strict=False)) for cut in bars]
