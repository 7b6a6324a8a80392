"""How far a surrogate may be trusted: against baselines, by region of chemistry, by number of rows, by feature.

Shapes: S materials, D vector size.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from scipy.stats import norm

from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.surrogates.base import SURROGATES, Prediction
from matgen.surrogates.conformal import Z_LEVEL
from matgen.surrogates.regions import regions
from matgen.surrogates.validation import Split, fold_labels, linear_prediction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matgen.surrogates.base import Surrogate

BASELINES = ("dummy", "linear")
"""The median of the training rows, and ridge regression on composition vectors."""

LEVELS = (*(round(0.1 * k, 1) for k in range(1, 10)), 0.95)
KEPT = tuple(round(1 - 0.1 * k, 1) for k in range(10))
"""Shares kept when the most uncertain are dropped."""

RESAMPLES = 1000
SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the training rows, in a learning curve."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """What a model says of S materials in folds that it has not learned from.

    Args:
        name: Of the model.
        values: (S,) true values.
        mean: (S,).
        std: (S,) calibrated; NaN for a baseline, which has none.
        spread: (S,) plain standard deviation over members; NaN where there is none.
        in_domain: (S,).
        fold: (S,).
        seconds: For fits and predictions of all folds.
    """

    name: str
    values: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    spread: np.ndarray
    in_domain: np.ndarray
    fold: np.ndarray
    seconds: float

    @property
    def errors(self) -> np.ndarray:
        """(S,) absolute errors."""
        return np.abs(self.mean - self.values)

    @property
    def held(self) -> np.ndarray:
        """(S,) whether the 90 % interval holds the value."""
        return self.errors <= Z_LEVEL * self.std


@dataclass(frozen=True)
class Plan:
    """What is held out, and how often.

    Args:
        split: What no two folds share.
        folds: Number of folds.
        seed: Of folds and fits; equal seeds give every model equal folds.
    """

    split: Split = "formula"
    folds: int = 5
    seed: int = 0


def hold_out(
    materials: Sequence[Any],
    values: np.ndarray,
    prop: str,
    surrogate: str,
    settings: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
) -> HeldOut:
    """Predictions of all materials, each by a model fitted to the other folds.

    Args:
        materials: S structures or compositions.
        values: (S,) in the property's unit.
        prop: Name of the property.
        surrogate: Name in the registry, or one of :data:`BASELINES`.
        settings: Its settings by name.
        plan: Folds and seed.
    """
    plan = plan or Plan()
    rng = np.random.default_rng(plan.seed)
    fold = fold_labels(materials, plan.split, plan.folds, rng)
    columns = np.full((3, len(values)), np.nan)
    inside, start = np.zeros(len(values), dtype=bool), time.perf_counter()
    for label in np.unique(fold):
        rest, out = np.flatnonzero(fold != label).tolist(), np.flatnonzero(fold == label).tolist()
        train, unseen = [materials[i] for i in rest], [materials[i] for i in out]
        if surrogate in BASELINES:
            columns[0, out] = _baseline(surrogate, train, values[rest], unseen)
            continue
        model = SURROGATES.get(surrogate)(find_property(prop), **(settings or {}))
        model.fit(train, values[rest], rng=rng)
        answer, spread = model.predict(unseen), model.spread(unseen)
        columns[0, out], columns[1, out], inside[out] = answer.mean, answer.std, answer.in_domain
        columns[2, out] = np.nan if spread is None else spread
        logger.info("%s, fold %d: MAE %.4g", surrogate, label, np.abs(answer.mean - values[out]).mean())
    mean, std, own = columns
    return HeldOut(surrogate, values, mean, std, own, inside, fold, time.perf_counter() - start)


def comparison(models: Sequence[HeldOut]) -> pd.DataFrame:
    """One row a model: errors with a 95 % bootstrap interval, coverage, and what dropping the uncertain ones gains.

    ``area`` is the mean of the errors of the most certain 100, 90 ... 10 %; ``area_spread`` is the same by the plain
    spread of the members, the usual baseline.
    """
    rows = []
    for held in models:
        low, high = _interval(held.errors)
        row = {"model": held.name, "mae": held.errors.mean(), "mae_low": low, "mae_high": high}
        row["rmse"] = np.sqrt(np.square(held.errors).mean())
        if np.isfinite(held.std).all():
            row |= {"coverage_90": held.held.mean(), "in_domain": held.in_domain.mean()}
            row |= {"area": np.mean(kept_errors(held.errors, held.std))}
            row |= {"falls": float(np.all(np.diff(kept_errors(held.errors, held.std)[::2]) <= 0))}
        if np.isfinite(held.spread).all():
            row["area_spread"] = np.mean(kept_errors(held.errors, held.spread))
        rows.append({**row, "seconds": round(held.seconds, 1)})
    return pd.DataFrame(rows).sort_values("mae", ignore_index=True)


def kept_errors(errors: np.ndarray, uncertainty: np.ndarray) -> list[float]:
    """Mean error of the most certain 100, 90 ... 10 %."""
    order = np.argsort(uncertainty, kind="stable")
    return [float(errors[order[: max(1, round(len(errors) * share))]].mean()) for share in KEPT]


def calibration(held: HeldOut) -> list[float]:
    """Share of values within the interval of each of :data:`LEVELS`, taken as that of a normal distribution."""
    scores = held.errors / held.std
    return [float((scores <= norm.ppf(0.5 + level / 2)).mean()) for level in LEVELS]


def by_region(held: HeldOut, materials: Sequence[Any]) -> pd.DataFrame:
    """Rows, error and coverage of each region of chemistry; molecules, which are SMILES here, are one."""
    molecules = len(materials) > 0 and isinstance(materials[0], str)
    named = ["molecules"] * len(materials) if molecules else regions(materials)
    table = pd.DataFrame({"region": named, "mae": held.errors, "coverage_90": held.held})
    found = table.groupby("region").agg(rows=("mae", "size"), mae=("mae", "mean"), coverage_90=("coverage_90", "mean"))
    return found.sort_values("rows", ascending=False).reset_index()


def learning_curve(
    materials: Sequence[Any],
    values: np.ndarray,
    prop: str,
    surrogate: str,
    settings: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
) -> pd.DataFrame:
    """Error and coverage on the first fold after learning from more and more of the others."""
    plan = plan or Plan()
    rng = np.random.default_rng(plan.seed)
    fold = fold_labels(materials, plan.split, plan.folds, rng)
    first = np.unique(fold)[0]
    rest, out = rng.permutation(np.flatnonzero(fold != first)).tolist(), np.flatnonzero(fold == first).tolist()
    unseen, rows = [materials[i] for i in out], []
    for share in SHARES:
        some = rest[: round(share * len(rest))]
        if len(some) < 50:
            continue  # too few to fit and calibrate
        model = SURROGATES.get(surrogate)(find_property(prop), **(settings or {}))
        model.fit([materials[i] for i in some], values[some], rng=np.random.default_rng(plan.seed))
        answer = model.predict(unseen)
        errors = np.abs(answer.mean - values[out])
        rows.append({"rows": len(some), "mae": errors.mean(), "coverage_90": (errors <= Z_LEVEL * answer.std).mean()})
    return pd.DataFrame(rows, columns=["rows", "mae", "coverage_90"])


@runtime_checkable
class OnVectors(Protocol):
    """A surrogate whose vectors can be changed before it sees them."""

    def vectors(self, structures: Sequence[Any]) -> np.ndarray:
        """Vectors (S, D)."""
        ...

    def predict_vectors(self, vectors: np.ndarray, structures: Sequence[Any]) -> Prediction:
        """What it says of them."""
        ...

    def feature_names(self) -> list[str]:
        """D names."""
        ...


def importances(
    model: Surrogate, materials: Sequence[Any], values: np.ndarray, rng: np.random.Generator, repeats: int = 3
) -> pd.DataFrame:
    """How much the error rises when a group of features is shuffled over the materials.

    After Breiman, Mach. Learn. 45, 5 (2001). All statistics of one element property are shuffled together, since one
    alone could be told from the others.

    Args:
        model: A fitted surrogate on vectors.
        materials: S materials, best ones that it has not learned from.
        values: (S,) theirs.
        rng: Of the shuffles.
        repeats: Shuffles of each group.

    Raises:
        ConfigError: The model does not work on vectors.
    """
    if not isinstance(model, OnVectors):
        raise ConfigError("feature importances need a model on vectors.", where=type(model).__name__)
    vectors = model.vectors(materials)
    groups = pd.Series([_group(name) for name in model.feature_names()])
    base = np.abs(model.predict_vectors(vectors, materials).mean - values).mean()
    rows = []
    for group, columns in groups.groupby(groups, sort=False).groups.items():
        rises = []
        for _ in range(repeats):
            shuffled = vectors.copy()
            shuffled[:, columns] = vectors[rng.permutation(len(vectors))][:, columns]
            rises.append(np.abs(model.predict_vectors(shuffled, materials).mean - values).mean() - base)
        rows.append({"features": group, "rise_of_mae": np.mean(rises), "deviation": np.std(rises)})
    return pd.DataFrame(rows).sort_values("rise_of_mae", ascending=False, ignore_index=True)


def _group(name: str) -> str:
    if name.startswith(("fraction of", "no element")):
        return "element fractions"
    if "-norm" in name or name == "number of elements":
        return "number and shares of elements"
    return name.rpartition(" ")[2] if not name.rpartition(" ")[2].isdigit() else name.rpartition(" ")[0]


def _baseline(name: str, train: Sequence[Any], values: np.ndarray, unseen: Sequence[Any]) -> np.ndarray:
    if name == "dummy":
        return np.full(len(unseen), np.median(values))
    return linear_prediction(train, values, unseen)


def _interval(errors: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = [rng.choice(errors, len(errors)).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
