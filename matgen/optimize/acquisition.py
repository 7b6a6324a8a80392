"""Acquisition functions: how much the evaluation of an uncertain candidate promises.

A candidate's loss (small is good) is taken as normal with mean μ and standard deviation σ; b is the best loss so far.

Shapes: n candidates, m objectives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.optimize.aims import Limit

Acquisition = Literal["expected_improvement", "upper_confidence_bound", "probability_of_feasibility"]

_FLOOR = 1e-12
_AUGMENTATION = 0.05


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """(n,) E[max(b - loss, 0)] = σ (z Φ(z) + φ(z)) with z = (b - μ) / σ.

    Jones, Schonlau and Welch, J. Global Optim. 13, 455 (1998).

    Args:
        mean: (n,) μ.
        std: (n,) σ.
        best: b.
    """
    std = np.maximum(std, _FLOOR)
    z = (best - mean) / std
    gain: np.ndarray = std * (z * norm.cdf(z) + norm.pdf(z))
    return gain


def upper_confidence_bound(mean: np.ndarray, std: np.ndarray, kappa: float = 1.0) -> np.ndarray:
    """(n,) κ σ - μ: how good the candidate may be.

    Srinivas et al., IEEE Trans. Inf. Theory 58, 3250 (2012).

    Args:
        mean: (n,) μ.
        std: (n,) σ.
        kappa: κ.
    """
    return kappa * std - mean


def probability_of_feasibility(mean: np.ndarray, std: np.ndarray, limit: Limit) -> np.ndarray:
    """(n,) probability that the value lies within the limit.

    Gardner et al., Bayesian optimization with inequality constraints, ICML 2014.

    Args:
        mean: (n,) expected value of the limited property.
        std: (n,) its standard deviation.
        limit: The limit.
    """
    std = np.maximum(std, _FLOOR)
    above = norm.cdf((limit.high - mean) / std) if limit.high is not None else np.ones(len(mean))
    below = norm.cdf((limit.low - mean) / std) if limit.low is not None else np.zeros(len(mean))
    return np.maximum(above - below, 0.0)


def window_moments(mean: np.ndarray, std: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """(n,) mean and standard deviation of the distance of a normal value to the window from low to high.

    With l = (low - μ)/σ, E[max(low - y, 0)] = σ (l Φ(l) + φ(l)) and E[max(low - y, 0)²] = σ² ((1 + l²) Φ(l) + l φ(l));
    likewise above the window, and no value lies on both sides.

    Args:
        mean: (n,) expected value.
        std: (n,) its standard deviation.
        low: Lower end.
        high: Upper end.
    """
    std = np.maximum(std, _FLOOR)
    first, second = np.zeros(len(mean)), np.zeros(len(mean))
    for side in ((low - mean) / std, (mean - high) / std):
        first += std * (side * norm.cdf(side) + norm.pdf(side))
        second += std**2 * ((1 + side**2) * norm.cdf(side) + side * norm.pdf(side))
    return first, np.sqrt(np.maximum(second - first**2, 0.0))


def scalarised(losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) augmented Chebyshev scalarisation of m losses scaled to 0..1: max_i(w_i l_i) + 0.05 Σ_i w_i l_i.

    Knowles, ParEGO, IEEE Trans. Evol. Comput. 10, 50 (2006). Random weights walk along the Pareto front.

    Args:
        losses: (n, m).
        weights: (m,) that sum to 1.
    """
    weighted = losses * weights
    return np.asarray(weighted.max(axis=1) + _AUGMENTATION * weighted.sum(axis=1))


def promise(
    mean: np.ndarray,
    std: np.ndarray,
    known: np.ndarray,
    kind: Acquisition,
    kappa: float,
    feasible: Sequence[np.ndarray],
) -> np.ndarray:
    """(n,) acquisition of candidates, times their probability of keeping to all limits.

    Args:
        mean: (n,) expected loss.
        std: (n,) its standard deviation.
        known: Losses of what was evaluated and kept to the limits; empty where nothing did yet, in which case only
            feasibility counts.
        kind: Name of the acquisition; by the probability of feasibility alone, the loss does not count.
        kappa: Standard deviations of the confidence bound.
        feasible: For each limit, (n,) the probability that it is kept.
    """
    chance = np.prod(feasible, axis=0) if len(feasible) else np.ones(len(mean))
    if not len(known) or kind == "probability_of_feasibility":
        return chance
    best = float(known.min())
    if kind == "expected_improvement":
        return chance * expected_improvement(mean, std, best)
    # Measured from the worst known loss, so that a product with a probability keeps its sense.
    return chance * np.maximum(upper_confidence_bound(mean, std, kappa) + float(known.max()), 0.0)
