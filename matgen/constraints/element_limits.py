"""Limits on what the elements of a material are like to come by: supply risk and abundance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.choices import indicator, spread
from matgen.elements import crustal_abundance, numbers, supply_risk
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure


class _ElementLimit(Constraint):
    """Every element keeps a limit on a tabulated quantity; elements without a tabulated value are not allowed."""

    _quantity: ClassVar[str]
    _unit: ClassVar[str]

    @cached_property
    def allowed(self) -> frozenset[str]:
        """Symbols that may occur."""
        return frozenset(symbol for symbol, z in numbers().items() if self._keeps(self._table()[z]))

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every element keeps the limit; the score is the number of elements that do not."""
        found = [[e for e in sorted(s.composition.get_el_amt_dict()) if e not in self.allowed] for s in structures]
        reasons = ["; ".join(self._why(element) for element in broken) or None for broken in found]
        return Verdict.of([len(broken) for broken in found], reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements that keep the limit."""
        return spread(indicator(self.allowed, numbers).expand(len(numbers), -1), numbers, real)

    @staticmethod
    def _table() -> np.ndarray:
        raise NotImplementedError

    def _keeps(self, value: float) -> bool:
        raise NotImplementedError

    def _limit(self) -> str:
        raise NotImplementedError

    def _why(self, element: str) -> str:
        value = self._table()[numbers()[element]]
        if np.isnan(value):
            return f"no {self._quantity} is known for {element}"
        return f"the {self._quantity} of {element} is {value:g}{self._unit}, {self._limit()}"

    def _require_some(self, given: float) -> None:
        if not self.allowed:
            raise ConfigError(f"no element keeps the limit of {given:g}.", where=self.name, fix="Loosen the limit.")


@CONSTRAINTS.register("supply_risk")
@dataclass(frozen=True)
class SupplyRisk(_ElementLimit):
    """Production of no element is concentrated in too few countries.

    The measure is the Herfindahl-Hirschman index HHI = Σ_c s_c² of the shares s_c (in per cent) that countries have in
    the production of an element, from 0 to 10,000; above 2,500 a market counts as highly concentrated (Gaultois et
    al., Chem. Mater. 25, 2911, 2013, whose table smact carries).

    Args:
        high: Largest allowed index.
    """

    name: ClassVar[str] = "supply_risk"
    _quantity: ClassVar[str] = "supply risk (HHI of production)"
    _unit: ClassVar[str] = ""

    high: float = 2500.0

    def __post_init__(self) -> None:
        self._require_some(self.high)

    @staticmethod
    def _table() -> np.ndarray:
        return supply_risk()

    def _keeps(self, value: float) -> bool:
        return bool(value <= self.high)

    def _limit(self) -> str:
        return f"above the highest allowed {self.high:g}"


@CONSTRAINTS.register("crustal_abundance")
@dataclass(frozen=True)
class CrustalAbundance(_ElementLimit):
    """No element is rarer in the Earth's crust than a limit (CRC Handbook, as smact carries it).

    Args:
        low: Smallest allowed abundance, mg per kg of crust.
    """

    name: ClassVar[str] = "crustal_abundance"
    _quantity: ClassVar[str] = "abundance in the Earth's crust"
    _unit: ClassVar[str] = " mg/kg"

    low: float = 1.0

    def __post_init__(self) -> None:
        self._require_some(self.low)

    @staticmethod
    def _table() -> np.ndarray:
        return crustal_abundance()

    def _keeps(self, value: float) -> bool:
        return bool(value >= self.low)

    def _limit(self) -> str:
        return f"below the lowest allowed {self.low:g}{self._unit}"
