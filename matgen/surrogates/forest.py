"""A random forest on composition vectors, kept as plain arrays.

Shapes: S structures, T trees, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, e
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from matgen.features.composition import FEATURE_NAMES, composition_features
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.vector import Head, VectorConfig, VectorSurrogate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition, Structure


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
class ForestConfig(VectorConfig):
    """Settings of a random forest.

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


class Forest(Head):
    """A random forest; the spread of its trees is its signal of uncertainty, out of the bag where rows were learned.

    Args:
        config: Its checked settings.
    """

    def __init__(self, config: ForestConfig) -> None:
        self.config = config
        self.trees: Trees

    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn; see :class:`Head`. What is said of a row comes from the trees that have not seen it."""
        forest = RandomForestRegressor(
            ceil(self.config.trees * OUT_OF_BAG),
            max_features=self.config.features,
            min_samples_leaf=self.config.least,
            n_jobs=self.config.jobs,
            random_state=int(rng.integers(2**31)),
        ).fit(vectors, values)
        trees = Trees.of(forest)
        unseen = np.ones((len(values), len(trees.roots)), dtype=bool)
        for tree, drawn in enumerate(forest.estimators_samples_):
            unseen[drawn, tree] = False
        self.trees = trees.first(self.config.trees)
        mean, spread = np.full(len(values), np.nan), np.zeros(len(values))
        judged = unseen.sum(axis=1) > 1
        outside = np.where(unseen, trees.predict(vectors), np.nan)[judged]
        mean[judged], spread[judged] = np.nanmean(outside, axis=1), np.nanstd(outside, axis=1)
        return mean, spread[:, None]

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, and spread of the trees as signal and as plain spread; see :class:`Head`."""
        each = self.trees.predict(vectors)
        spread = each.std(axis=1)
        return each.mean(axis=1), spread[:, None], spread

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of the trees."""
        return dict(vars(self.trees))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        self.trees = Trees(**arrays)


@SURROGATES.register("composition-forest")
class CompositionForest(VectorSurrogate):
    """Random forest on element statistics; the spread of its trees, calibrated out of bag, is its uncertainty."""

    name = "composition-forest"
    config_class = ForestConfig
    config: ForestConfig

    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Element statistics."""
        return composition_features(structures)

    def feature_names(self) -> list[str]:
        """Names of the statistics."""
        return list(FEATURE_NAMES)

    def head(self) -> Forest:
        """A random forest."""
        return Forest(self.config)
