"""Intervals of confidence for shares and for other statistics."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

NORMAL = 1.959964
"""Quantile of the normal distribution for 95 %."""

RESAMPLES = 200


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (J. Am. Stat. Assoc. 22, 209, 1927); (0, 1) where there is nothing."""
    if n == 0:
        return 0.0, 1.0
    share, z = hits / n, NORMAL**2
    centre = (share + z / (2 * n)) / (1 + z / n)
    half = NORMAL / (1 + z / n) * sqrt(share * (1 - share) / n + z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], rng: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of a statistic of N values: percentiles over resamples of them (Efron, Ann. Stat. 7, 1, 1979)."""
    drawn = [statistic(rng.choice(values, len(values))) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def share(values: Any, n: int | None = None) -> dict[str, Any]:
    """How many of N values are true, as a share with its interval; ``n`` counts more than the values given."""
    hits, total = int(np.sum(np.asarray(values, dtype=bool))), len(values) if n is None else n
    return {"share": round(hits / total, 4) if total else None, "interval": _rounded(wilson(hits, total)), "n": total}


def estimate(values: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0) -> dict[str, Any]:
    """A statistic of N values with its bootstrap interval."""
    if not len(values):
        return {"value": None, "interval": None, "n": 0}
    interval = bootstrap(values, statistic, np.random.default_rng(seed))
    return {"value": round(float(statistic(values)), 4), "interval": _rounded(interval), "n": len(values)}


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(bound, 4) for bound in interval]
