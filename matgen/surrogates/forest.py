"""A random forest on composition vectors, kept as plain arrays.

Shapes: S structures, T trees, D features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, e
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestRegressor

from matgen.errors import ConfigError
from matgen.features.composition import FEATURE_NAMES, composition_features
from matgen.surrogates.base import SURROGATES, Prediction, Surrogate
from matgen.surrogates.conformal import ErrorModel
from matgen.surrogates.domain import Domain, known_elements
from matgen.surrogates.ensemble import checked_values
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.storage import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Composition, Structure

    from matgen.data.property import Property


OUT_OF_BAG = e
"""A row is out of the bag of one tree in e. So many times more trees are grown than kept, and as many trees as are kept
judge each row that they have not seen; a smaller jury would err more, and intervals would be too wide."""


@dataclass(frozen=True)
class Trees:
    """T regression trees as arrays over all their nodes, children by index into the same arrays.

    Args:
        roots: (T,) index of each tree's root.
        left: Child where the feature is at most the threshold; a leaf points to itself.
        right: The other child.
        feature: Which feature a node looks at.
        threshold: In single precision, as the features are compared.
        value: Mean target of the training rows in the node.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, forest: RandomForestRegressor) -> Trees:
        """Arrays of a fitted forest."""
        roots, parts, start = [], [], 0
        for tree in (estimator.tree_ for estimator in forest.estimators_):
            itself = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            left, right = (np.where(leaf, itself, c) + start for c in (tree.children_left, tree.children_right))
            feature = np.where(leaf, 0, tree.feature)
            roots.append(start)
            parts.append((left, right, feature, tree.threshold, tree.value[:, 0, 0]))
            start += tree.node_count
        left, right, feature, threshold, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(
            np.array(roots, dtype=np.int32),
            left.astype(np.int32),
            right.astype(np.int32),
            feature.astype(np.int16),
            threshold.astype(np.float32),
            value.astype(np.float32),
        )

    def first(self, trees: int) -> Trees:
        """The first so many trees."""
        end = int(self.roots[trees]) if trees < len(self.roots) else len(self.left)
        nodes = {key: value[:end] for key, value in vars(self).items() if key != "roots"}
        return Trees(self.roots[:trees], **nodes)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(S, T) prediction of each tree from features (S, D)."""
        features = features.astype(np.float32)
        node = np.tile(self.roots, (len(features), 1))
        rows = np.arange(len(features))[:, None]
        while True:
            goes_left = features[rows, self.feature[node]] <= self.threshold[node]
            following = np.where(goes_left, self.left[node], self.right[node])
            if (following == node).all():
                return np.asarray(self.value[node], dtype=float)
            node = following


@dataclass(frozen=True)
class ForestConfig:
    """Settings of :class:`CompositionForest`.

    Args:
        trees: T.
        features: Share of the features tried at each split.
        least: Smallest number of training rows in a leaf.
        jobs: Threads for fitting.
    """

    trees: int = 100
    features: float = 0.33
    least: int = 1
    jobs: int = 1


@dataclass(frozen=True)
class Fitted:
    """All that a fit yields: the trees, what the data looked like, the error model, and the spread of the values."""

    trees: Trees
    domain: Domain
    errors: ErrorModel
    scale: float


@SURROGATES.register("composition-forest")
class CompositionForest(Surrogate):
    """Random forest on element statistics; the spread of its trees, calibrated out of bag, is its uncertainty.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    name = "composition-forest"

    def __init__(self, prop: Property, **config: Any) -> None:
        self.prop, self.config = prop, checked_settings(ForestConfig, config, self.name)
        self.fitted: Fitted | None = None
        self.card: dict[str, Any] = {}

    def fit(
        self,
        structures: Sequence[Structure | Composition],
        values: np.ndarray,
        *,
        rng: np.random.Generator,
        folder: Path | None = None,
    ) -> None:
        """Learn, and calibrate on each row's out-of-bag trees; ``folder`` is not needed, a forest is quick."""
        values = checked_values(values, len(structures))
        features = composition_features(structures)
        forest = RandomForestRegressor(
            ceil(self.config.trees * OUT_OF_BAG),
            max_features=self.config.features,
            min_samples_leaf=self.config.least,
            n_jobs=self.config.jobs,
            random_state=int(rng.integers(2**31)),
        ).fit(features, values)
        trees = Trees.of(forest)
        unseen = np.ones((len(values), len(trees.roots)), dtype=bool)
        for tree, drawn in enumerate(forest.estimators_samples_):
            unseen[drawn, tree] = False
        outside = np.where(unseen, trees.predict(features), np.nan)
        trees = trees.first(self.config.trees)
        order = rng.permutation(np.flatnonzero(unseen.sum(axis=1) > 1))
        first, second = np.array_split(features[order], 2)
        domain = Domain.fit(first, second, known_elements(structures), rng)
        scale = float(values.std() or 1.0)
        mean, signals = _signals(outside[order], domain.distance(features[order]) / domain.threshold * scale)
        errors = ErrorModel.fit(signals, np.abs(values[order] - mean), floor=1e-3 * scale)
        self.fitted = Fitted(trees, domain, errors, scale)

    def predict(self, structures: Sequence[Structure | Composition]) -> Prediction:
        """Mean of the trees, calibrated standard deviation and domain."""
        return self.predict_vectors(self.vectors(structures), structures)

    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Element statistics (S, D)."""
        return composition_features(structures)

    def feature_names(self) -> list[str]:
        """Names of the D statistics."""
        return list(FEATURE_NAMES)

    def predict_vectors(self, vectors: np.ndarray, structures: Sequence[Structure | Composition]) -> Prediction:
        """The same as :meth:`predict` from vectors (S, D) that are at hand."""
        fitted = self._fitted()
        distance = fitted.domain.distance(vectors)
        nearness = distance / fitted.domain.threshold * fitted.scale
        mean, signals = _signals(fitted.trees.predict(vectors), nearness)
        return Prediction(mean, fitted.errors.std(signals), fitted.domain.contains(distance, structures))

    def spread(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """(S,) standard deviation over the trees, before calibration."""
        return np.asarray(self._fitted().trees.predict(composition_features(structures)).std(axis=1))

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the arrays of the trees and ``card.json``; ``facts`` join the card."""
        fitted = self._fitted()
        arrays = {f"trees.{key}": value for key, value in vars(fitted.trees).items()} | fitted.domain.arrays()
        card = {"surrogate": self.name, "property": self.prop.name, "unit": self.prop.unit, **facts}
        card |= {"config": asdict(self.config), "scale": fitted.scale, "errors": asdict(fitted.errors)}
        self.card = write_weights(folder, {key: torch.from_numpy(value) for key, value in arrays.items()}, card)

    @classmethod
    def load(cls, folder: Path) -> CompositionForest:
        """Rebuild from what :meth:`save` wrote."""
        card, tensors, prop = read_weights(folder, cls.name)
        arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
        trees = Trees(**{k.removeprefix("trees."): v for k, v in arrays.items() if k.startswith("trees.")})
        model = cls(prop, **card["config"])
        model.card = card
        model.fitted = Fitted(trees, Domain.of(arrays), ErrorModel.of(card["errors"]), card["scale"])
        return model

    def _fitted(self) -> Fitted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        return self.fitted


def _signals(each: np.ndarray, nearness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (S,) over the trees that answer (not NaN), and signals (S, 2): their spread, and the distance."""
    return np.nanmean(each, axis=1), np.stack([np.nanstd(each, axis=1), nearness], axis=1)
