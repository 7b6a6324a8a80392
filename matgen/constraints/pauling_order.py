"""Pauling's order: in a compound, cations are less electronegative than anions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.decided import Decided, reduced_formula, without_value
from matgen.elements import (
    N_NUMBERS,
    OxidationTable,
    metals,
    numbers,
    oxidation_states,
    smact_electronegativity,
    symbols,
)
from matgen.errors import ConfigError


@CONSTRAINTS.register("pauling_order")
@dataclass(frozen=True)
class PaulingOrder(Decided):
    """The elements divide into cations and anions with every cation less electronegative than every anion.

    Each element takes a sign that its known oxidation states allow, whatever the charges add up to (``charge_neutral``
    asks for both). Elements alone pass, and compounds of metals only. The rule is the electronegativity test of smact
    (Davies et al., Chem 1, 617, 2016; Pauling's scale). The score is the largest possible gap between the least
    electronegative anion and the most electronegative cation, 0 where there is no such division.

    Args:
        low: Smallest allowed gap on Pauling's scale; an order without a gap is none.
        oxidation_states: smact's table of states.
        include_alloys: Whether a compound of metals only passes.
    """

    name: ClassVar[str] = "pauling_order"
    fillers: ClassVar[tuple[str, ...]] = ("O", "F", "Na", "Cs", "Al")

    low: float = 0.0
    oxidation_states: OxidationTable = "icsd24"
    include_alloys: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.low < 3.2:
            raise ConfigError(f"low={self.low}.", where=self.name, fix="Give 0 <= low < 3.2, the gap of Cs and F.")

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) gap on Pauling's scale."""
        present = (counts > 0).astype(np.float32)
        cuts, broken, level = self._cuts
        at = present @ level > 0
        highest = np.maximum.accumulate(np.where(at, cuts, -np.inf), axis=1)
        lowest = np.minimum.accumulate(np.where(at, cuts, np.inf)[:, ::-1], axis=1)[:, ::-1]
        gaps = np.where(present @ broken == 0, np.roll(lowest, -1, axis=1) - highest, 0.0)[:, :-1]
        return np.where(np.isfinite(gaps), gaps, 0.0).max(axis=1)

    def accepts(self, counts: np.ndarray) -> np.ndarray:
        """(N,) whether there is an order with a large enough gap, or nothing to order."""
        present = counts > 0
        gaps = self.scores(counts)
        passed = (gaps > 0) & (gaps >= self.low)
        passed |= present.sum(1) == 1
        if self.include_alloys:
            passed |= ~(present & ~self._metals).any(1)
        return passed

    def why(self, counts: np.ndarray) -> str:
        """Which elements stand in the way, or how small the gap is."""
        formula, gap = reduced_formula(counts), float(self.scores(counts[None])[0])
        if gap > 0:
            return (
                f"the cations and anions of {formula} differ by {gap:.2f} in electronegativity, less than {self.low:g}"
            )
        if unknown := without_value(smact_electronegativity(), counts):
            return f"no Pauling electronegativity is known for {unknown}"
        cation, anion = self._signs
        present = [symbols()[z] for z in np.flatnonzero(counts)]
        if stateless := [e for e in present if not (cation | anion)[numbers()[e]]]:
            return f"no oxidation states are known for {' and '.join(stateless)}"
        return f"no division of {formula} into cations and more electronegative anions fits the known oxidation states"

    @cached_property
    def _signs(self) -> tuple[np.ndarray, np.ndarray]:
        """(Z,) elements that can be cations, and anions; none without an electronegativity."""
        signs = np.zeros((2, N_NUMBERS), dtype=bool)
        for symbol, states in oxidation_states(self.oxidation_states).items():
            z = numbers()[symbol]
            signs[:, z] = any(q > 0 for q in states), any(q < 0 for q in states)
        signs &= smact_electronegativity() > 0
        return signs[0], signs[1]

    @cached_property
    def _cuts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(K,) electronegativities to cut at; (Z, K) elements that a cut gives a wrong sign; (Z, K) each one's own."""
        scale, (cation, anion) = smact_electronegativity()[:, None], self._signs
        cuts = np.unique(scale[scale > 0])
        broken = np.where(scale <= cuts, ~cation[:, None], ~anion[:, None])
        return cuts, broken.astype(np.float32), (scale == cuts).astype(np.float32)

    @cached_property
    def _metals(self) -> np.ndarray:
        table = np.zeros(N_NUMBERS, dtype=bool)
        table[[numbers()[symbol] for symbol in metals()]] = True
        return table
