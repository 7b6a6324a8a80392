"""How far a composition lies from those that a model learned from, and clusters of compositions to leave out.

Shapes: S materials, M reference materials, 119 element fractions by atomic number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from matgen.surrogates.domain import NEAREST, QUANTILE, REFERENCES

if TYPE_CHECKING:
    from collections.abc import Mapping

UNLIKE = "unlike the training data"
"""Materials beyond the threshold are a region of their own, whatever their chemistry."""


@dataclass(frozen=True)
class Novelty:
    """The share of a material's atoms that must become other elements to make of it what was learned from.

    Statistics of elements tell poorly that a region of chemistry is new, since the mean of two elements may be a third;
    fractions of elements do.

    Args:
        references: (M, 119) element fractions of training materials.
        threshold: Share beyond which 1 % of held-out materials of the same kind lie.
    """

    references: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, training: np.ndarray, held_out: np.ndarray) -> Novelty:
        """From element fractions of training and of held-out materials, in random order."""
        # Half precision is what the weights file keeps; rounding here makes a loaded model agree with a fitted one.
        bare = cls(training[:REFERENCES].astype(np.float16).astype(np.float32), 0.0)
        return cls(bare.references, float(np.quantile(bare.distance(held_out), QUANTILE)))

    def distance(self, fractions: np.ndarray) -> np.ndarray:
        """(S,) ½ Σ_e |x_e - x'_e|, mean over the five nearest references, from element fractions (S, 119)."""
        if not len(fractions):
            return np.zeros(0)
        apart = cdist(fractions, self.references, "cityblock") / 2
        nearest = min(NEAREST, len(self.references))
        return np.asarray(np.partition(apart, nearest - 1, axis=1)[:, :nearest].mean(axis=1))

    def relative(self, fractions: np.ndarray) -> np.ndarray:
        """(S,) distance in units of the threshold."""
        return self.distance(fractions) / (self.threshold or 1.0)

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays for a weights file."""
        return {
            "novelty.references": self.references.astype(np.float16),
            "novelty.threshold": np.array([self.threshold]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Novelty | None:
        """Rebuild from :meth:`arrays`; None of a model that does not know it."""
        if "novelty.references" not in arrays:
            return None
        return cls(arrays["novelty.references"].astype(np.float32), float(arrays["novelty.threshold"][0]))


def clusters(fractions: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(S,) k-means cluster of each material by its element fractions (S, 119)."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(count, n_init=3, random_state=int(rng.integers(2**31))).fit_predict(fractions))
