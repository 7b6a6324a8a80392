"""What the elements in a kilogram of a material cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.decided import Decided, reduced_formula, without_value
from matgen.elements import atomic_mass, price, symbols
from matgen.errors import ConfigError


@CONSTRAINTS.register("price")
@dataclass(frozen=True)
class Price(Decided):
    """The elements in a kilogram of the material cost at most a limit.

    p = Σ_i w_i p_i with mass fractions w and prices p of the elements in USD per kg: the table that pymatgen carries,
    of September 2013, quoted from Wolfram Alpha and Wikipedia. Processing is not in it, the prices of Na, K and F are
    those of laboratory grades, and prices move: read it as an order of magnitude. The score is p, not a number
    where an element has no tabulated price; such a material does not pass.

    Args:
        high: Largest allowed price, USD per kg.
    """

    name: ClassVar[str] = "price"
    fillers: ClassVar[tuple[str, ...]] = ("Fe", "O", "Si")

    high: float = 100.0

    def __post_init__(self) -> None:
        if not self.high >= np.nanmin(price()):
            raise ConfigError(f"no element costs as little as {self.high:g} USD/kg.", where=f"{self.name}.high")

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) price in USD per kg."""
        mass = counts * np.nan_to_num(atomic_mass())
        total = (mass @ np.nan_to_num(price())) / mass.sum(1)
        return np.where((counts[:, np.isnan(price())] > 0).any(1), np.nan, total)

    def accepts(self, counts: np.ndarray) -> np.ndarray:
        """(N,) whether the price is known and low enough."""
        return self.scores(counts) <= self.high

    def why(self, counts: np.ndarray) -> str:
        """The price and the element that most of it is paid for."""
        if unknown := without_value(price(), counts):
            return f"no price is known for {unknown}"
        share = counts * np.nan_to_num(atomic_mass() * price())
        dearest = symbols()[int(share.argmax())]
        cost = float(self.scores(counts[None])[0])
        return (
            f"the elements of {reduced_formula(counts)} cost {cost:,.0f} USD/kg, above the "
            f"highest allowed {self.high:,g} USD/kg, {share.max() / share.sum():.0%} of it for {dearest}"
        )
