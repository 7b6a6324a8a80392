"""Whether elements mix into an alloy: mismatch of metallic radii and of electronegativities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.decided import Decided, reduced_formula, without_value
from matgen.elements import electronegativity, metallic_radius
from matgen.errors import ConfigError

Others = Literal["pass", "reject"]


@dataclass(frozen=True)
class _Mismatch(Decided):
    """The spread of an elemental quantity over the atoms of an alloy is at most ``high``."""

    high: float
    others: Others = "reject"

    _quantity: ClassVar[str]
    _unit: ClassVar[str]

    def __post_init__(self) -> None:
        if not self.high >= 0:
            raise ConfigError(f"high={self.high}.", where=self.name, fix="Give a number that is not negative.")

    def accepts(self, counts: np.ndarray) -> np.ndarray:
        """(N,) whether the mismatch is small enough; compositions without one as ``others`` says."""
        found = self.scores(counts)
        return np.asarray(np.where(np.isnan(found), self.others == "pass", found <= self.high))

    def why(self, counts: np.ndarray) -> str:
        """The mismatch beside its limit, or the elements for which nothing is tabulated."""
        if unknown := without_value(self._table(), counts):
            return f"no {self._quantity} is known for {unknown}, so {reduced_formula(counts)} is no alloy to compare"
        value = float(self.scores(counts[None])[0])
        return (
            f"the {self._quantity} mismatch of {reduced_formula(counts)} is {value:.3g}{self._unit}, above the highest "
            f"allowed {self.high:g}{self._unit}"
        )

    @staticmethod
    def _table() -> np.ndarray:
        raise NotImplementedError


@CONSTRAINTS.register("size_mismatch")
@dataclass(frozen=True)
class SizeMismatch(_Mismatch):
    """The metallic radii in an alloy differ little, as solid solutions demand (Hume-Rothery's first rule).

    δ = 100 % · sqrt(Σ_i c_i (1 - r_i / r̄)²), r̄ = Σ_i c_i r_i, with atomic fractions c and metallic radii r in Å
    (Zhang et al., Adv. Eng. Mater. 10, 534, 2008; radii as pymatgen carries them). Multicomponent solid solutions are
    seen up to about 6.6 % (Guo and Liu, Prog. Nat. Sci. 21, 433, 2011). The score is δ, not a number where an element
    has no metallic radius.

    Args:
        high: Largest allowed δ, %.
        others: Whether compositions with such an element pass.
    """

    name: ClassVar[str] = "size_mismatch"
    fillers: ClassVar[tuple[str, ...]] = ("Al", "Ti", "Fe", "Mg")
    _quantity: ClassVar[str] = "metallic radius"
    _unit: ClassVar[str] = " %"

    high: float = 6.6
    others: Others = "reject"

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) δ in %."""
        mean, spread = _mean_and_spread(counts, self._table())
        return np.asarray(100 * spread / mean)

    @staticmethod
    def _table() -> np.ndarray:
        return metallic_radius()


@CONSTRAINTS.register("electronegativity_mismatch")
@dataclass(frozen=True)
class ElectronegativityMismatch(_Mismatch):
    """The Pauling electronegativities in an alloy differ little (Hume-Rothery's rule against compounds).

    Δχ = sqrt(Σ_i c_i (χ_i - χ̄)²), χ̄ = Σ_i c_i χ_i, with atomic fractions c (Fang et al., J. Non-Cryst. Solids 321,
    120, 2003). The score is Δχ, not a number where an element has no electronegativity.

    Args:
        high: Largest allowed Δχ on Pauling's scale.
        others: Whether compositions with such an element pass.
    """

    name: ClassVar[str] = "electronegativity_mismatch"
    fillers: ClassVar[tuple[str, ...]] = ("Al", "Ti", "Fe", "O")
    _quantity: ClassVar[str] = "electronegativity"
    _unit: ClassVar[str] = ""

    high: float = 0.175
    others: Others = "reject"

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) Δχ on Pauling's scale."""
        return _mean_and_spread(counts, self._table())[1]

    @staticmethod
    def _table() -> np.ndarray:
        return electronegativity()


def _mean_and_spread(counts: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) mean and standard deviation over atoms; not a number where the table holds no value."""
    unknown = (counts[:, np.isnan(table)] > 0).any(1)
    fraction = counts / counts.sum(1, keepdims=True)
    known = np.nan_to_num(table)
    mean = np.where(unknown, np.nan, fraction @ known)
    difference = np.where(counts > 0, known - mean[:, None], 0.0)
    # An element alone has no spread, not one of rounding.
    alone = (counts > 0).sum(1) == 1
    return mean, np.where(alone & ~unknown, 0.0, np.sqrt((fraction * difference**2).sum(1)))
