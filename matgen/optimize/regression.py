"""Quick models of a value over a description of candidates, with the uncertainty that an acquisition needs.

Shapes: n points, D numbers that describe one.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning

Regressor = Literal["forest", "trees", "gaussian_process"]


def fitted(kind: Regressor, points: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> Model:
    """A model of the values.

    ``trees`` are extremely randomised trees (Geurts et al., Mach. Learn. 63, 3, 2006), ``forest`` a random forest; the
    spread of their trees is the uncertainty. ``gaussian_process`` has a Matérn kernel (ν = 5/2) and noise.

    Args:
        kind: Which.
        points: (n, D).
        values: (n,).
        rng: Of everything random.
    """
    seed = int(rng.integers(2**31))
    if kind == "gaussian_process":
        with warnings.catch_warnings():
            # A length scale or noise level at the end of its range is an answer like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return Model(_process(points.shape[1], seed).fit(points, values), spread_of_trees=False)
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    if kind == "forest":
        return Model(RandomForestRegressor(100, max_features=0.33, random_state=seed).fit(points, values))
    return Model(ExtraTreesRegressor(100, max_features=0.33, random_state=seed).fit(points, values))


class Model:
    """A fitted model.

    Args:
        inner: scikit-learn's.
        spread_of_trees: Whether its uncertainty is the spread of its trees.
    """

    def __init__(self, inner: Any, *, spread_of_trees: bool = True) -> None:
        self._inner, self._trees = inner, spread_of_trees

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) mean and standard deviation."""
        inner = self._inner
        if not self._trees:
            mean, std = inner.predict(points, return_std=True)
            return mean, std
        single = np.ascontiguousarray(points, dtype=np.float32)
        each = np.stack([tree.tree_.predict(single)[:, 0] for tree in inner.estimators_])
        return each.mean(axis=0), each.std(axis=0)


def _process(dimensions: int, seed: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    scale = float(np.sqrt(dimensions))
    kernel = ConstantKernel() * Matern(scale, (0.1 * scale, 10 * scale), nu=2.5) + WhiteKernel(0.05)
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
