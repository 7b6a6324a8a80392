"""Uncertainty that is checked on held-out data: an error model and split-conformal calibration, by region of chemistry.

Shapes: S structures, K signals of uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import lsq_linear
from scipy.stats import norm

from matgen.surrogates.novelty import UNLIKE

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
class Judged:
    """What a fitted model said of S materials that it has not learned from, and how wrong it was.

    Args:
        signals: (S, K) non-negative signals of uncertainty.
        errors: (S,) absolute errors, in the unit of the property.
        regions: (S,) names of regions of chemistry; None where the materials have none.
    """

    signals: np.ndarray
    errors: np.ndarray
    regions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.errors)

    def chosen(self, rows: np.ndarray) -> Judged:
        """Some of the rows."""
        return Judged(self.signals[rows], self.errors[rows], None if self.regions is None else self.regions[rows])


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
        regions: That of each region with at least 100 calibrating rows, and of what is unlike the training data.
    """

    weights: tuple[float, ...]
    floor: float
    scale: float
    regions: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(cls, held: Judged, floor: float) -> ErrorModel:
        """Fit the exponents on all held-out rows, and the conformal factors on scores that each half gives the other.

        Exponents from every second row score the rows between and the other way round, so no row has a say in its own
        score and all of them count for the factors (Vovk, Cross-conformal predictors, Ann. Math. Artif. Intell. 74, 9,
        2015). In use the exponents are those of all rows. They are a few bounded numbers, so they differ little from
        those of a half, and what split-conformal calibration guarantees holds nearly.

        Args:
            held: Held-out rows, in random order.
            floor: Smallest signal and error that count, in the unit of the property.
        """
        design = np.column_stack([np.ones(len(held)), np.log(np.maximum(held.signals, floor))])
        target = np.log(np.maximum(held.errors, floor))
        scores = np.empty(len(held))
        for half in (np.arange(len(held)) % 2 == 0, np.arange(len(held)) % 2 == 1):
            scores[half] = held.errors[half] / np.exp(design[half] @ _exponents(design[~half], target[~half]))
        return cls(tuple(_exponents(design, target).tolist()), floor, 1.0)._scaled(scores, held.regions)

    def calibrated(self, held: Judged) -> ErrorModel:
        """The same exponents with conformal factors of rows that neither the model nor the exponents have seen.

        What is unlike the training data keeps its factor where those rows hold too little of it.
        """
        new = self._scaled(self.scores(held), held.regions)
        kept = {name: scale for name, scale in self.regions.items() if name == UNLIKE}
        return replace(new, regions=kept | dict(new.regions))

    def scores(self, held: Judged) -> np.ndarray:
        """(S,) errors in units of what is expected of them before scaling."""
        return np.asarray(held.errors / replace(self, scale=1.0, regions={}).std(held.signals))

    def beyond(self, far: Judged) -> ErrorModel:
        """With a factor of its own, never a smaller one, for what is unlike the training data.

        Args:
            far: Rows judged by models that learned from nothing like them; with fewer than 100 nothing changes.
        """
        if len(far) < LEAST_OF_REGION:
            return self
        scale = max(self.scale, conformal_quantile(self.scores(far)) / Z_LEVEL)
        return replace(self, regions={**self.regions, UNLIKE: scale})

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

    def _scaled(self, scores: np.ndarray, regions: np.ndarray | None) -> ErrorModel:
        own = {} if regions is None else _by_region(scores, regions)
        return replace(self, scale=conformal_quantile(scores) / Z_LEVEL, regions=own)


def _exponents(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(1 + K,) least-squares weights of the columns, all but the first between 0 and 1."""
    lower, upper = np.zeros(design.shape[1]), np.ones(design.shape[1])
    lower[0], upper[0] = -np.inf, np.inf
    return np.asarray(lsq_linear(design, target, bounds=(lower, upper)).x)


def _by_region(scores: np.ndarray, regions: np.ndarray) -> dict[str, float]:
    groups = {str(name): scores[regions == name] for name in sorted(set(regions))}
    return {n: conformal_quantile(found) / Z_LEVEL for n, found in groups.items() if len(found) >= LEAST_OF_REGION}
