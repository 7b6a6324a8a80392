"""Intervals of confidence for shares."""

from __future__ import annotations

from math import sqrt

NORMAL = 1.959964
"""Quantile of the normal distribution for 95 %."""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (J. Am. Stat. Assoc. 22, 209, 1927); (0, 1) where there is nothing."""
    if n == 0:
        return 0.0, 1.0
    share, z = hits / n, NORMAL**2
    centre = (share + z / (2 * n)) / (1 + z / n)
    half = NORMAL / (1 + z / n) * sqrt(share * (1 - share) / n + z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
