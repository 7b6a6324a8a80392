"""A Gaussian process on vectors, exact for few rows and projected on inducing rows for many.

Shapes: S materials, D vector size, M inducing rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from matgen.features.composition import FEATURE_NAMES, MAX_Z, composition_features, fractions
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.vector import PARTS, Head, VectorConfig, VectorSurrogate, parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Composition, Structure

JITTER = 1e-6
"""Added to the diagonal of a kernel matrix, in units of its variance, so that it has a Cholesky factor."""


@dataclass(frozen=True)
class ProcessConfig(VectorConfig):
    """Settings of a Gaussian process.

    Args:
        inducing: M; with no more training rows than that, the process is exact.
        learned: Rows from which the three parameters of the kernel are learned.
        smoothness: ν of the Matérn kernel; 0.5, 1.5 and 2.5 are quick.
    """

    inducing: int = 500
    learned: int = 500
    smoothness: float = 1.5


@dataclass(frozen=True)
class Kernel:
    """Variance · Matérn(ν, length) between standardised vectors, and the variance of the noise on the values."""

    variance: float
    length: float
    noise: float
    smoothness: float

    @classmethod
    def learned(cls, vectors: np.ndarray, values: np.ndarray, smoothness: float) -> Kernel:
        """By the marginal likelihood of (S, D) standardised vectors and (S,) standardised values."""
        start = np.sqrt(vectors.shape[1])
        shape = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(start, (1e-1 * start, 1e2 * start), nu=smoothness)
        with warnings.catch_warnings():  # a parameter at the end of its range is an answer too
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = GaussianProcessRegressor(shape + WhiteKernel(0.1, (1e-4, 2.0)), alpha=JITTER).fit(vectors, values)
        matern, noise = found.kernel_.k1, found.kernel_.k2
        return cls(matern.k1.constant_value, float(matern.k2.length_scale), noise.noise_level, smoothness)

    def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(S, M) covariances."""
        return np.asarray(self.variance * Matern(self.length, nu=self.smoothness)(one, other))


@dataclass(frozen=True)
class Posterior:
    """A process conditioned on rows, through M inducing rows.

    The deterministic training conditional (Seeger et al., AISTATS 2003; Quiñonero-Candela & Rasmussen, J. Mach. Learn.
    Res. 6, 1939, 2005): with K = L Lᵀ of the inducing rows, V = L⁻¹ K_ms / σ and B = 1 + V Vᵀ = F Fᵀ, the mean is
    k(x)ᵀ L⁻ᵀ F⁻ᵀ F⁻¹ V y / σ and the variance k(x, x) - |L⁻¹ k(x)|² + |F⁻¹ L⁻¹ k(x)|². With all rows inducing it is
    the exact process.

    Args:
        kernel: Covariances.
        inducing: (M, D).
        lower: L (M, M).
        factor: F (M, M).
        weights: F⁻¹ V y / σ (M,).
    """

    kernel: Kernel
    inducing: np.ndarray
    lower: np.ndarray
    factor: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, inducing: np.ndarray, vectors: np.ndarray, values: np.ndarray) -> Posterior:
        """Condition on (S, D) vectors and (S,) values."""
        inducing = _single(inducing)
        covariance = kernel(inducing, inducing)
        covariance[np.diag_indices_from(covariance)] += JITTER * kernel.variance
        lower = _single(cholesky(covariance, lower=True))
        noise = np.sqrt(kernel.noise)
        between = solve_triangular(lower, kernel(inducing, vectors), lower=True) / noise
        factor = _single(cholesky(np.eye(len(inducing)) + between @ between.T, lower=True))
        weights = solve_triangular(factor, between @ values / noise, lower=True)
        return cls(kernel, inducing, lower, factor, weights)

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (S,) and standard deviation (S,) of the values, noise included."""
        near = solve_triangular(self.lower, self.kernel(self.inducing, vectors), lower=True)
        seen = solve_triangular(self.factor, near, lower=True)
        variance = self.kernel.variance - np.square(near).sum(axis=0) + np.square(seen).sum(axis=0)
        return self.weights @ seen, np.sqrt(np.maximum(variance, 0.0) + self.kernel.noise)


class Process(Head):
    """A Gaussian process on standardised vectors; its standard deviation is the signal."""

    def __init__(self, config: ProcessConfig) -> None:
        self.config = config
        self.centre, self.width = np.zeros(0), np.zeros(0)
        self.offset, self.scale = 0.0, 1.0
        self.posterior: Posterior | None = None

    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn; see :class:`Head`."""
        self.centre, spread = vectors.mean(axis=0), vectors.std(axis=0)
        self.width = np.where(spread > 1e-6, spread, np.inf)  # a coordinate that never varied says nothing
        self.offset, self.scale = float(values.mean()), float(values.std() or 1.0)
        rows, scaled = self._standard(vectors), (values - self.offset) / self.scale
        some = rng.permutation(len(rows))
        few = some[: self.config.learned]
        kernel = Kernel.learned(rows[few], scaled[few], self.config.smoothness)
        part = parts(len(rows), rng)
        mean, signals = np.zeros(len(rows)), np.zeros((len(rows), 1))
        for p in range(PARTS):
            rest = np.flatnonzero(part != p)
            chosen = rest[rng.permutation(len(rest))[: self.config.inducing]]
            posterior = Posterior.of(kernel, rows[chosen], rows[rest], scaled[rest])
            mean[part == p], signals[part == p, 0] = posterior.predict(rows[part == p])
        self.posterior = Posterior.of(kernel, rows[some[: self.config.inducing]], rows, scaled)
        return self.offset + self.scale * mean, self.scale * signals

    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and standard deviation; see :class:`Head`."""
        assert self.posterior is not None  # noqa: S101 - the surrogate above has checked that it is fitted
        mean, std = self.posterior.predict(self._standard(vectors))
        return self.offset + self.scale * mean, self.scale * std[:, None], self.scale * std

    def arrays(self) -> dict[str, np.ndarray]:
        """Scales, kernel and posterior; triangles in single precision, as they were rounded when they were made."""
        assert self.posterior is not None  # noqa: S101
        p, k = self.posterior, self.posterior.kernel
        numbers = np.array([self.offset, self.scale, k.variance, k.length, k.noise, k.smoothness])
        small = {"inducing": p.inducing, "lower": p.lower, "factor": p.factor}
        arrays = {key: value.astype(np.float32) for key, value in small.items()}
        return {**arrays, "weights": p.weights, "centre": self.centre, "width": self.width, "numbers": numbers}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        self.centre, self.width = arrays["centre"], arrays["width"]
        self.offset, self.scale, *kernel = (float(x) for x in arrays["numbers"])
        wide = {key: arrays[key].astype(float) for key in ("inducing", "lower", "factor", "weights")}
        self.posterior = Posterior(Kernel(*kernel), **wide)

    def _standard(self, vectors: np.ndarray) -> np.ndarray:
        return np.clip((vectors - self.centre) / self.width, -8, 8)


def _single(values: np.ndarray) -> np.ndarray:
    # Kept in single precision; rounding before use makes a loaded process equal the fitted one.
    return values.astype(np.float32).astype(float)


@SURROGATES.register("composition-process")
class CompositionProcess(VectorSurrogate):
    """A Gaussian process on element statistics and element fractions."""

    name = "composition-process"
    config_class = ProcessConfig
    config: ProcessConfig

    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Element statistics, then element fractions."""
        return np.hstack([composition_features(structures), fractions(structures)])

    def feature_names(self) -> list[str]:
        """Names of statistics and elements."""
        from matgen.elements import symbols

        return [*FEATURE_NAMES, "no element", *(f"fraction of {symbols()[z]}" for z in range(1, MAX_Z + 1))]

    def head(self) -> Process:
        """A Gaussian process."""
        return Process(self.config)
