"""Gradient-boosted trees on fingerprints and descriptors of molecules, kept as plain arrays.

Shapes: S molecules, K members, T trees of a member, D descriptors, F features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from matgen.errors import ConfigError
from matgen.features.molecules import DESCRIPTORS, compositions, descriptors, fingerprints
from matgen.surrogates.base import SURROGATES, Prediction, Surrogate
from matgen.surrogates.conformal import ErrorModel
from matgen.surrogates.domain import Domain, known_elements
from matgen.surrogates.ensemble import checked_values
from matgen.surrogates.forest import Trees
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.storage import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.data.property import Property

CHUNK = 256
"""Molecules that go down the trees together."""


@dataclass(frozen=True)
class BoostingConfig:
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


@dataclass(frozen=True)
class Boosted:
    """All that a fit yields.

    Args:
        trees: All members' trees, T of each in turn.
        base: (K,) what each member adds to the sum of its trees.
        domain: What the training data looked like, by descriptors.
        errors: Error model on the spread of the members and the distance to the data.
        scale: Standard deviation of the training values.
    """

    trees: Trees
    base: np.ndarray
    domain: Domain
    errors: ErrorModel
    scale: float

    def each(self, features: np.ndarray) -> np.ndarray:
        """(S, K) answers of the members from features (S, F)."""
        parts = [self.trees.predict(features[i : i + CHUNK]) for i in range(0, len(features), CHUNK)]
        leaves = np.concatenate(parts) if parts else np.zeros((0, len(self.trees.roots)))
        return np.asarray(leaves.reshape(len(features), len(self.base), -1).sum(axis=2) + self.base)


@SURROGATES.register("molecule-boosting")
class MoleculeBoosting(Surrogate):
    """Boosted trees on Morgan counts and descriptors; the spread of the members, calibrated out of bag, is the error.

    Takes structures without periodic axes, or SMILES.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    name = "molecule-boosting"

    def __init__(self, prop: Property, **config: Any) -> None:
        self.prop, self.config = prop, checked_settings(BoostingConfig, config, self.name)
        self.fitted: Boosted | None = None
        self.card: dict[str, Any] = {}

    def features(self, molecules: Sequence[Structure | str]) -> np.ndarray:
        """(S, F) descriptors, then fingerprint counts, in single precision."""
        blocks = [descriptors(molecules)]
        if self.config.bits:
            blocks.append(fingerprints(molecules, self.config.bits, self.config.radius))
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def fit(
        self,
        structures: Sequence[Structure | str],
        values: np.ndarray,
        *,
        rng: np.random.Generator,
        folder: Path | None = None,
    ) -> None:
        """Learn, and calibrate each row by the members that have not seen it; ``folder`` is not needed."""
        values = checked_values(values, len(structures))
        features, config = self.features(structures), self.config
        unseen = rng.random((len(values), config.members)) >= config.share
        boosters = [self._boosted(features[~out], values[~out], int(rng.integers(2**31))) for out in unseen.T]
        trees = joined([trees for trees, _ in boosters])
        base = np.array([base for _, base in boosters])
        first, second = np.array_split(rng.permutation(len(values)), 2)
        shown = features[:, : len(DESCRIPTORS)]
        domain = Domain.fit(shown[first], shown[second], known_elements(compositions(structures)), rng)
        scale = float(values.std() or 1.0)
        drawn = Boosted(trees, base, domain, ErrorModel((0.0, 1.0, 0.0), scale, 1.0), scale)
        order = rng.permutation(np.flatnonzero(unseen.sum(axis=1) > 1))
        outside = np.where(unseen[order], drawn.each(features[order]), np.nan)
        mean, signals = self._signals(outside, shown[order], drawn)
        errors = ErrorModel.fit(signals, np.abs(values[order] - mean), floor=1e-3 * scale)
        self.fitted = Boosted(trees, base, domain, errors, scale)

    def predict(self, structures: Sequence[Structure | str]) -> Prediction:
        """Mean of the members, calibrated standard deviation and domain."""
        fitted, features = self._fitted(), self.features(structures)
        shown = features[:, : len(DESCRIPTORS)]
        mean, signals = self._signals(fitted.each(features), shown, fitted)
        inside = fitted.domain.contains(fitted.domain.distance(shown), compositions(structures))
        return Prediction(np.clip(mean, self.prop.lower, self.prop.upper), fitted.errors.std(signals), inside)

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the arrays of the trees and ``card.json``; ``facts`` join the card."""
        fitted = self._fitted()
        arrays = {f"trees.{key}": value for key, value in vars(fitted.trees).items()} | fitted.domain.arrays()
        arrays["base"] = fitted.base
        card = {"surrogate": self.name, "property": self.prop.name, "unit": self.prop.unit, **facts}
        card |= {"config": asdict(self.config), "scale": fitted.scale, "errors": asdict(fitted.errors)}
        self.card = write_weights(folder, {key: torch.from_numpy(value) for key, value in arrays.items()}, card)

    @classmethod
    def load(cls, folder: Path) -> MoleculeBoosting:
        """Rebuild from what :meth:`save` wrote."""
        card, tensors, prop = read_weights(folder, cls.name)
        arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
        trees = Trees(**{k.removeprefix("trees."): v for k, v in arrays.items() if k.startswith("trees.")})
        model = cls(prop, **card["config"])
        model.card, errors = card, ErrorModel.of(card["errors"])
        model.fitted = Boosted(trees, arrays["base"], Domain.of(arrays), errors, card["scale"])
        return model

    def _boosted(self, features: np.ndarray, values: np.ndarray, seed: int) -> tuple[Trees, float]:
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
        ).fit(features, values)
        return arrays_of(booster), float(booster._baseline_prediction.item())

    def _signals(self, each: np.ndarray, shown: np.ndarray, fitted: Boosted) -> tuple[np.ndarray, np.ndarray]:
        """Mean (S,) over the members that answer (not NaN), and signals (S, 2): their spread, and the distance."""
        nearness = fitted.domain.distance(shown) / (fitted.domain.threshold or 1.0) * fitted.scale
        return np.nanmean(each, axis=1), np.stack([np.nanstd(each, axis=1), nearness], axis=1)

    def _fitted(self) -> Boosted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        return self.fitted


def arrays_of(booster: HistGradientBoostingRegressor) -> Trees:
    """Arrays of a fitted booster, whose own form cannot be saved without pickle."""
    parts, roots, start = [], [], 0
    for (predictor,) in booster._predictors:
        nodes = predictor.nodes
        itself = np.arange(len(nodes))
        leaf = nodes["is_leaf"].astype(bool)
        left, right = (np.where(leaf, itself, nodes[side].astype(np.int64)) + start for side in ("left", "right"))
        feature = np.where(leaf, 0, nodes["feature_idx"])
        # Rounded down, because a single-precision feature at most the exact threshold is at most the rounded one too.
        exact = np.where(leaf, 0.0, nodes["num_threshold"])
        rounded = exact.astype(np.float32)
        threshold = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        roots.append(start)
        parts.append((left, right, feature, threshold, nodes["value"]))
        start += len(nodes)
    left, right, feature, threshold, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Trees(
        np.array(roots, dtype=np.int32),
        left.astype(np.int32),
        right.astype(np.int32),
        feature.astype(np.int16),
        threshold.astype(np.float32),
        value.astype(np.float32),
    )


def joined(members: Sequence[Trees]) -> Trees:
    """The trees of several members, one after the other."""
    shifts = np.cumsum([0, *(len(trees.value) for trees in members[:-1])])
    moved = {
        name: np.concatenate([getattr(t, name) + s for t, s in zip(members, shifts, strict=True)]).astype(np.int32)
        for name in ("roots", "left", "right")
    }
    return Trees(
        **moved, **{n: np.concatenate([getattr(t, n) for t in members]) for n in ("feature", "threshold", "value")}
    )
