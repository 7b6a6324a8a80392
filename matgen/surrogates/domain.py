"""Whether a model has seen anything like a structure: distance to training embeddings, and elements.

Shapes: S structures, M reference structures, F embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from matgen.features.composition import MAX_Z, amounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition, Structure

NEAREST = 5
QUANTILE = 0.99
REFERENCES = 1500
SEEN = 3
"""An element counts as known from so many training rows on."""


@dataclass(frozen=True)
class Domain:
    """What the training data looked like.

    Args:
        references: (M, F) embeddings of training structures, divided by ``spread``.
        spread: (F,) standard deviation of each embedding coordinate.
        threshold: Distance beyond which 1 % of held-out structures of the same kind lie.
        known: (119,) whether each element occurs often enough.
    """

    references: np.ndarray
    spread: np.ndarray
    threshold: float
    known: np.ndarray

    @classmethod
    def fit(cls, training: np.ndarray, held_out: np.ndarray, known: np.ndarray) -> Domain:
        """From training embeddings, held-out embeddings of the same kind, and the known elements.

        The rows are in random order; the first 1,500 training rows become references.
        """
        spread = training.std(axis=0)
        spread = np.where(spread > 1e-4, spread, 1.0)  # a coordinate that never varied has no scale of its own
        # Half precision is what the weights file keeps; rounding here makes a loaded model agree with a fitted one.
        references = (training[:REFERENCES] / spread).astype(np.float16).astype(np.float32)
        domain = cls(references, spread.astype(np.float32), 0.0, known)
        return cls(references, domain.spread, float(np.quantile(domain.distance(held_out), QUANTILE)), known)

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays for a weights file."""
        arrays = {"references": self.references.astype(np.float16), "spread": self.spread, "known": self.known}
        arrays["threshold"] = np.array([self.threshold])
        return {f"domain.{key}": value for key, value in arrays.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Domain:
        """Rebuild from :meth:`arrays`."""
        references, spread, known, threshold = (
            arrays[f"domain.{key}"] for key in ("references", "spread", "known", "threshold")
        )
        return cls(references.astype(np.float32), spread, float(threshold[0]), known)

    def distance(self, embeddings: np.ndarray, itself: np.ndarray | None = None) -> np.ndarray:
        """(S,) mean distance to the 5 nearest references; 1 is one spread in every coordinate.

        Args:
            embeddings: (S, F).
            itself: (S,) whether a row is one of the references, so that the nearest one, itself, does not count.
        """
        if not len(embeddings):
            return np.zeros(0)
        apart = cdist(embeddings / self.spread, self.references) / np.sqrt(len(self.spread))
        if itself is not None and apart.shape[1] > 1:
            apart[itself, apart[itself].argmin(axis=1)] = np.inf
        nearest = min(NEAREST, apart.shape[1] - (itself is not None))
        return np.asarray(np.partition(apart, nearest - 1, axis=1)[:, :nearest].mean(axis=1))

    def contains(self, distance: np.ndarray, materials: Sequence[Structure | Composition]) -> np.ndarray:
        """(S,) whether each is near enough and made of known elements only."""
        seen = [all(self.known[z] for z, _ in amounts(material)) for material in materials]
        return (distance <= self.threshold) & np.array(seen, dtype=bool)


def known_elements(materials: Sequence[Structure | Composition]) -> np.ndarray:
    """(119,) whether each atomic number occurs in at least three materials."""
    count = np.zeros(MAX_Z + 1, dtype=int)
    for material in materials:
        for z, _ in amounts(material):
            count[z] += 1
    return np.asarray(count >= SEEN)
