"""Gradient-boosted trees on vectors, with boosted quantiles of their own error.

Shapes: S materials, D vector size, P parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from matgen.features.composition import FEATURE_NAMES, composition_features
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.forest import Trees
from matgen.surrogates.vector import PARTS, Head, VectorConfig, VectorSurrogate, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition, Structure

ERROR_QUANTILE = 0.9
BINS = 63
"""Values of a feature are told apart so finely; 255 bins would cost twice as much."""

SMALLEST_ERROR = 1e-3
"""Errors below this share of the spread of the values count as so large, so that their logarithm is finite."""


@dataclass(frozen=True)
class BoostingConfig(VectorConfig):
    """Settings of boosted trees.

    Args:
        rounds: Trees of each member.
        leaves: Leaves of each tree.
        least: Smallest number of training rows in a leaf.
        rate: Share of each tree's answer that is added.
        features: Share of the features tried at each split.
        loss: What a member minimises.
    """

    rounds: int = 200
    leaves: int = 24
    least: int = 8
    rate: float = 0.08
    features: float = 0.3
    loss: Literal["squared_error", "absolute_error"] = "squared_error"


@dataclass(frozen=True)
class Boosted:
    """A sum of trees: ``start`` plus the answers of all."""

    trees: Trees
    start: float

    @classmethod
    def of(cls, model: HistGradientBoostingRegressor) -> Boosted:
        """Arrays of a fitted model."""
        roots, columns, first = [], [], 0
        for (tree,) in model._predictors:
            nodes = tree.nodes
            itself, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
            left, right = (np.where(leaf, itself, nodes[side]) + first for side in ("left", "right"))
            feature, exact = (np.where(leaf, 0, nodes[key]) for key in ("feature_idx", "num_threshold"))
            roots.append(first)
            columns.append((left, right, feature, _rounded_down(exact), nodes["value"]))
            first += len(nodes)
        kinds = (np.int32, np.int32, np.int16, np.float32, np.float32)
        joined = [np.concatenate(c).astype(k) for c, k in zip(zip(*columns, strict=True), kinds, strict=True)]
        return cls(Trees(np.array(roots, dtype=np.int32), *joined), float(np.ravel(model._baseline_prediction)[0]))

    def predict(self, vectors: np.ndarray) -> np.ndarray:
        """(S,)."""
        return self.start + self.trees.predict(vectors).sum(axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays for a weights file."""
        return {**vars(self.trees), "start": np.array([self.start])}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> Boosted:
        """From :meth:`arrays`."""
        return cls(Trees(**{k: v for k, v in arrays.items() if k != "start"}), float(arrays["start"][0]))


def _rounded_down(exact: np.ndarray) -> np.ndarray:
    """In single precision: a single-precision feature at most the exact threshold is at most the rounded one too."""
    rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)


class Boosting(Head):
    """P members, each of which has not seen one part of the rows, and as many models of the size of their errors.

    Where the members have not learned from a row, a second layer of boosted trees learns the 90 % quantile of the
    logarithm of their absolute error (quantile regression: Romano et al., Conformalized quantile regression, NeurIPS
    2019). The mean is the mean over members.
    """

    def __init__(self, config: BoostingConfig) -> None:
        self.config = config
        self.members: list[Boosted] = []
        self.widths: list[Boosted] = []

    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn; see :class:`Head`."""
        vectors = vectors.astype(np.float32)
        part = parts(len(values), rng)
        mean, width = np.zeros(len(values)), np.zeros(len(values))
        self.members = [self._member(vectors, values, part != p, rng) for p in range(PARTS)]
        for p, member in enumerate(self.members):
            mean[part == p] = member.predict(vectors[part == p])
        size = np.log(np.maximum(np.abs(values - mean), SMALLEST_ERROR * (values.std() or 1.0)))
        self.widths = [self._width(vectors, size, part != p, rng) for p in range(PARTS)]
        for p, member in enumerate(self.widths):
            width[part == p] = member.predict(vectors[part == p])
        return mean, np.exp(width)[:, None]

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, width and spread of the members; see :class:`Head`."""
        each = np.array([member.predict(vectors) for member in self.members])
        width = np.exp(np.mean([member.predict(vectors) for member in self.widths], axis=0))
        return each.mean(axis=0), width[:, None], each.std(axis=0)

    def arrays(self) -> dict[str, np.ndarray]:
        """Trees of members and widths."""
        named = {f"{kind}{p}": m for kind, ms in self._models() for p, m in enumerate(ms)}
        return {f"{name}.{key}": value for name, model in named.items() for key, value in model.arrays().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for name, value in arrays.items():
            owner, _, key = name.partition(".")
            found.setdefault(owner, {})[key] = value
        self.members = [Boosted.restored(found[f"member{p}"]) for p in range(PARTS)]
        self.widths = [Boosted.restored(found[f"width{p}"]) for p in range(PARTS)]

    def _models(self) -> tuple[tuple[str, list[Boosted]], ...]:
        return ("member", self.members), ("width", self.widths)

    def _member(self, vectors: np.ndarray, values: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Boosted:
        config = self.config
        model = self._model(rng, loss=config.loss, max_iter=config.rounds, max_leaf_nodes=config.leaves)
        return Boosted.of(model.fit(vectors[rows], values[rows]))

    def _width(self, vectors: np.ndarray, size: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Boosted:
        # Errors are noisy, so few small trees say all that can be learned of them.
        few = {"max_iter": max(1, self.config.rounds // 4), "max_leaf_nodes": 8}
        model = self._model(rng, loss="quantile", quantile=ERROR_QUANTILE, **few)
        return Boosted.of(model.fit(vectors[rows], size[rows]))

    def _model(self, rng: np.random.Generator, **settings: Any) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            learning_rate=self.config.rate,
            min_samples_leaf=self.config.least,
            max_features=self.config.features,
            max_bins=BINS,
            early_stopping=False,
            random_state=int(rng.integers(2**31)),
            **settings,
        )


@SURROGATES.register("composition-boosting")
class CompositionBoosting(VectorSurrogate):
    """Gradient-boosted trees on element statistics, with boosted quantiles of their error."""

    name = "composition-boosting"
    config_class = BoostingConfig
    config: BoostingConfig

    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Element statistics."""
        return composition_features(structures)

    def feature_names(self) -> list[str]:
        """Names of the statistics."""
        return list(FEATURE_NAMES)

    def head(self) -> Boosting:
        """Boosted trees."""
        return Boosting(self.config)
