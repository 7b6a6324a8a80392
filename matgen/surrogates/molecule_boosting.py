"""Gradient-boosted trees on fingerprints and descriptors of molecules.

Shapes: S molecules, K members, T trees of a member, D descriptors, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from matgen.features.molecules import DESCRIPTORS, compositions, descriptors, fingerprints
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.boosting import Boosted
from matgen.surrogates.vector import Head, VectorConfig, VectorSurrogate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition

CHUNK = 256
"""Molecules that go down the trees together."""


@dataclass(frozen=True)
class BoostingConfig(VectorConfig):
    """Settings of :class:`MoleculeBoosting`.

    Args:
        members: K, boosters on random parts of the rows.
        share: Part of the rows that each member learns from; the others calibrate it.
        trees: T.
        leaves: Leaves of a tree.
        rate: Learning rate.
        least: Smallest number of training rows in a leaf.
        shrink: L2 penalty on the values of leaves.
        features: Share of the features tried at each split.
        bins: Values that a feature is told apart by; few are faster.
        bits: Entries of the fingerprint; 0 for descriptors alone.
        radius: Bonds that its environments reach.
    """

    members: int = 6
    share: float = 0.7
    trees: int = 150
    leaves: int = 16
    rate: float = 0.08
    least: int = 6
    shrink: float = 1.0
    features: float = 0.3
    bins: int = 64
    bits: int = 256
    radius: int = 2


class Members(Head):
    """K boosters on random parts of the rows; each row that was learned from is judged by those that did not see it.

    Args:
        config: Their checked settings.
    """

    def __init__(self, config: BoostingConfig) -> None:
        self.config = config
        self.members: list[Boosted] = []

    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn; see :class:`Head`. A mean needs one member that has not seen the row, a spread needs two."""
        unseen = rng.random((len(values), self.config.members)) >= self.config.share
        self.members = [self._member(vectors[~out], values[~out], int(rng.integers(2**31))) for out in unseen.T]
        judged = unseen.sum(axis=1) > 1
        outside = np.where(unseen, self.each(vectors), np.nan)[judged]
        mean, spread = np.full(len(values), np.nan), np.zeros(len(values))
        spread[judged] = np.nanstd(outside, axis=1, ddof=1)
        mean[judged] = self._as_all(np.nanmean(outside, axis=1), spread[judged], values[judged], unseen[judged])
        return mean, spread[:, None]

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, and spread of the members as signal and as plain spread; see :class:`Head`."""
        each = self.each(vectors)
        spread = each.std(axis=1, ddof=1)
        return each.mean(axis=1), spread[:, None], spread

    def each(self, vectors: np.ndarray) -> np.ndarray:
        """(S, K) answers of the members from features (S, F)."""
        parts = [vectors[i : i + CHUNK] for i in range(0, len(vectors), CHUNK)]
        return np.column_stack([np.concatenate([m.predict(part) for part in parts]) for m in self.members])

    def arrays(self) -> dict[str, np.ndarray]:
        """Trees of the members."""
        return {f"{k}.{key}": value for k, member in enumerate(self.members) for key, value in member.arrays().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        found: dict[int, dict[str, np.ndarray]] = {}
        for name, value in arrays.items():
            member, _, key = name.partition(".")
            found.setdefault(int(member), {})[key] = value
        self.members = [Boosted.restored(found[k]) for k in sorted(found)]

    def _as_all(self, mean: np.ndarray, spread: np.ndarray, values: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        """Means of the few members that have not seen a row, moved towards the values as those of all K would lie.

        The squared error of a mean of m members is b² + σ²/m, so that of all K is smaller by σ² (1/m - 1/K) on average.
        """
        wrong = mean - values
        gain = np.mean(spread**2 * (1 / unseen.sum(axis=1) - 1 / self.config.members))
        share = np.sqrt(max(0.0, 1 - gain / max(np.mean(wrong**2), 1e-300)))
        return np.asarray(values + share * wrong)

    def _member(self, features: np.ndarray, values: np.ndarray, seed: int) -> Boosted:
        config = self.config
        booster = HistGradientBoostingRegressor(
            learning_rate=config.rate,
            max_iter=config.trees,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=config.least,
            l2_regularization=config.shrink,
            max_features=config.features,
            max_bins=config.bins,
            early_stopping=False,
            random_state=seed,
        )
        return Boosted.of(booster.fit(features, values))


@SURROGATES.register("molecule-boosting")
class MoleculeBoosting(VectorSurrogate):
    """Boosted trees on Morgan counts and descriptors; the spread of the members, calibrated out of bag, is the error.

    Takes structures without periodic axes, or SMILES.
    """

    name = "molecule-boosting"
    reads = "molecules"
    config_class = BoostingConfig
    config: BoostingConfig

    def vectors(self, structures: Sequence[Any]) -> np.ndarray:
        """(S, F) descriptors, then fingerprint counts, in single precision."""
        blocks = [descriptors(structures)]
        if self.config.bits:
            blocks.append(fingerprints(structures, self.config.bits, self.config.radius))
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def near(self, vectors: np.ndarray) -> np.ndarray:
        """The descriptors."""
        return vectors[:, : len(DESCRIPTORS)]

    def compositions(self, structures: Sequence[Any]) -> Sequence[Composition]:
        """Elements of each molecule, hydrogens included."""
        return compositions(structures)

    def regions(self, structures: Sequence[Any]) -> None:
        """Molecules have no regions of chemistry here."""

    def feature_names(self) -> list[str]:
        """Names of the descriptors, and numbered entries of the fingerprint."""
        return [*DESCRIPTORS, *(f"fingerprint {i}" for i in range(self.config.bits))]

    def head(self) -> Members:
        """Boosters on random parts of the rows."""
        return Members(self.config)
