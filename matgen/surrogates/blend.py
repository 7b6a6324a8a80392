"""A random forest and gradient-boosted trees averaged, on element statistics.

Shapes: S materials, D vector size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.features.composition import FEATURE_NAMES, composition_features
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.boosting import Boosting, BoostingConfig
from matgen.surrogates.forest import Forest, ForestConfig
from matgen.surrogates.vector import Head, VectorConfig, VectorSurrogate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition, Structure


@dataclass(frozen=True)
class BlendConfig(VectorConfig):
    """Settings of a forest and of boosted trees whose answers are averaged.

    Args:
        trees: Of the forest.
        least: Smallest number of training rows in a leaf of the forest.
        rounds: Boosted trees of each member.
        leaves: Leaves of each boosted tree.
        rate: Share of each boosted tree's answer that is added.
    """

    trees: int = 40
    least: int = 1
    rounds: int = 200
    leaves: int = 24
    rate: float = 0.08


class Blend(Head):
    """The mean of a forest and of boosted trees; the forest's spread and the boosted width are its two signals.

    Both are wrong in different places, so their mean is wrong less than either (Breiman, Mach. Learn. 24, 49, 1996).

    Args:
        config: Its checked settings.
    """

    def __init__(self, config: BlendConfig) -> None:
        self.forest = Forest(ForestConfig(trees=config.trees, least=config.least))
        self.boosting = Boosting(BoostingConfig(rounds=config.rounds, leaves=config.leaves, rate=config.rate))

    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn; see :class:`Head`."""
        one, spread = self.forest.fit(vectors, values, rng)
        other, width = self.boosting.fit(vectors, values, rng)
        return (one + other) / 2, np.column_stack([spread, width])

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, both signals, and the spread of the forest's trees; see :class:`Head`."""
        one, spread, plain = self.forest.predict(vectors)
        other, width, _ = self.boosting.predict(vectors)
        return (one + other) / 2, np.column_stack([spread, width]), plain

    def arrays(self) -> dict[str, np.ndarray]:
        """Trees of both."""
        return {f"{name}.{key}": value for name, head in self._heads() for key, value in head.arrays().items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        for name, head in self._heads():
            start = f"{name}."
            head.restore({key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)})

    def _heads(self) -> tuple[tuple[str, Head], ...]:
        return ("forest", self.forest), ("boosting", self.boosting)


@SURROGATES.register("composition-blend")
class CompositionBlend(VectorSurrogate):
    """Random forest and gradient-boosted trees on element statistics, averaged."""

    name = "composition-blend"
    config_class = BlendConfig
    config: BlendConfig

    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Element statistics."""
        return composition_features(structures)

    def feature_names(self) -> list[str]:
        """Names of the statistics."""
        return list(FEATURE_NAMES)

    def head(self) -> Blend:
        """A forest and boosted trees."""
        return Blend(self.config)
