"""Uncertainty that is checked on held-out data: an error model and split-conformal calibration, by region of chemistry.

Shapes: S structures, K signals of uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import lsq_linear
from scipy.stats import norm

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_OF_REGION = 100
"""A region has a factor of its own from so many calibrating rows on: coverage is then 0.9 ± 0.03."""

LEVEL = 0.9
Z_LEVEL = float(norm.ppf(0.5 + LEVEL / 2))
"""A normal distribution holds 90 % within 1.645 standard deviations; reported ones are scaled to that."""


def conformal_quantile(scores: np.ndarray, level: float = LEVEL) -> float:
    """The ceil((n + 1) level)-th smallest of n held-out scores, infinite when n is too small for the level.

    A new score, exchangeable with these, lies at or below it with probability at least ``level`` (Vovk et al.,
    Algorithmic Learning in a Random World, 2005; Lei et al., J. Am. Stat. Assoc. 113, 1094, 2018).
    """
    rank = ceil((len(scores) + 1) * level)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def interval(mean: np.ndarray, std: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds mean ∓ z std; at the calibrated level of 90 % they hold that share of new data."""
    z = norm.ppf(0.5 + level / 2)
    return mean - z * std, mean + z * std


@dataclass(frozen=True)
class ErrorModel:
    """Expected size of an error from several signals of uncertainty, scaled so that 90 % intervals hold 90 %.

    std = scale · exp(w₀ + Σ_k w_k log u_k) with 0 <= w_k <= 1, so no signal of uncertainty ever lowers the answer.
    A region of chemistry with enough rows has a scale of its own, so that coverage holds there too (Mondrian conformal
    prediction: Vovk et al., Algorithmic Learning in a Random World, 2005).

    Args:
        weights: w₀ and the K exponents.
        floor: Smallest signal that counts, so that logarithms stay finite.
        scale: Split-conformal factor of all rows together.
        regions: That of each region with at least 100 calibrating rows.
    """

    weights: tuple[float, ...]
    floor: float
    scale: float
    regions: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, signals: np.ndarray, errors: np.ndarray, floor: float, regions: np.ndarray | None = None
    ) -> ErrorModel:
        """Fit the exponents on every second held-out row and the conformal factors on the others.

        Args:
            signals: (S, K) non-negative signals on held-out data, in random order.
            errors: (S,) absolute errors there.
            floor: Smallest signal and error that count, in the unit of the property.
            regions: (S,) names; None where the materials have no regions.
        """
        design = np.column_stack([np.ones(len(signals)), np.log(np.maximum(signals, floor))])
        target = np.log(np.maximum(errors, floor))
        lower, upper = np.zeros(design.shape[1]), np.ones(design.shape[1])
        lower[0], upper[0] = -np.inf, np.inf
        weights = lsq_linear(design[::2], target[::2], bounds=(lower, upper)).x
        scores = errors[1::2] / np.exp(design[1::2] @ weights)
        own = {} if regions is None else _by_region(scores, regions[1::2])
        return cls(tuple(weights.tolist()), floor, conformal_quantile(scores) / Z_LEVEL, own)

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> ErrorModel:
        """Rebuild from the entry in a card; older cards have no regions."""
        return cls(tuple(card["weights"]), card["floor"], card["scale"], card.get("regions", {}))

    def std(self, signals: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        """Standard deviations (S,) from signals (S, K) and, where there are any, names of regions (S,)."""
        logs = np.log(np.maximum(signals, self.floor))
        names = regions if regions is not None and self.regions else [""] * len(signals)
        scale = np.array([self.regions.get(name, self.scale) for name in names])
        return np.asarray(scale * np.exp(self.weights[0] + logs @ np.array(self.weights[1:])))


def _by_region(scores: np.ndarray, regions: np.ndarray) -> dict[str, float]:
    groups = {str(name): scores[regions == name] for name in sorted(set(regions))}
    return {n: conformal_quantile(found) / Z_LEVEL for n, found in groups.items() if len(found) >= LEAST_OF_REGION}
