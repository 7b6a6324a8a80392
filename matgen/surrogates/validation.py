"""Cross-validation of surrogates, beside a constant and a linear model.

Shapes: S materials.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from matgen.data.molecules import scaffold, smiles_of
from matgen.data.property import find_property
from matgen.errors import ConfigError, did_you_mean
from matgen.features.composition import amounts, composition_features, fractions
from matgen.features.molecules import compositions, descriptors, fingerprints
from matgen.surrogates.base import SURROGATES, Prediction
from matgen.surrogates.conformal import Z_LEVEL
from matgen.surrogates.novelty import clusters

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence


Split = Literal["random", "formula", "chemical_system", "scaffold", "cluster"]
STEPS = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Shares kept when the most uncertain are dropped."""

logger = logging.getLogger(__name__)


def fold_labels(materials: Sequence[Any], split: Split, folds: int, rng: np.random.Generator) -> np.ndarray:
    """(S,) fold of each material.

    ``formula``, ``chemical_system`` and, of molecules, ``scaffold`` keep equal ones in one fold, ``cluster`` makes each
    fold a k-means cluster of element fractions (leave one cluster out: Meredig et al., Mol. Syst. Des. Eng. 3, 819,
    2018).

    Raises:
        ConfigError: An unknown split, or fewer than two folds or more folds than materials.
    """
    if split not in get_args(Split):
        raise ConfigError(f"there is no split {split!r}.", where="split", fix=did_you_mean(split, get_args(Split)))
    if not 2 <= folds <= len(materials):
        raise ConfigError(f"{folds} folds of {len(materials)} rows cannot be made.", where="folds")
    if split == "cluster":
        return clusters(fractions(materials), folds, rng)
    units = np.unique([_unit(material, split, row) for row, material in enumerate(materials)], return_inverse=True)[1]
    order = rng.permutation(int(units.max()) + 1)
    return np.asarray(order[units] % folds)


def cross_validate(
    materials: Sequence[Any],
    values: np.ndarray,
    prop: str,
    *,
    surrogate: str,
    settings: Mapping[str, Any] | None = None,
    split: Split = "formula",
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of a surrogate on materials that it was not fitted to, all folds together.

    Args:
        materials: S structures or compositions.
        values: (S,) in the property's unit.
        prop: Name of the property.
        surrogate: Name in the registry.
        settings: Its settings by name.
        split: What never lies on both sides.
        folds: Number of folds.
        seed: Of folds and fits.

    Returns:
        Protocol, figures as :func:`figures` gives them, ``coverage_by_fold``, ``dummy_mae`` and ``linear_mae``.
    """
    rng = np.random.default_rng(seed)
    labels = fold_labels(materials, split, folds, rng)
    mean, std, inside = np.zeros(len(values)), np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    dummy, linear = np.zeros(len(values)), np.zeros(len(values))
    for fold in np.unique(labels):
        rest, out = np.flatnonzero(labels != fold).tolist(), np.flatnonzero(labels == fold).tolist()
        train, unseen = [materials[i] for i in rest], [materials[i] for i in out]
        model = SURROGATES.get(surrogate)(find_property(prop), **(settings or {}))
        model.fit(train, values[rest], rng=rng)
        answer = model.predict(unseen)
        mean[out], std[out], inside[out] = answer.mean, answer.std, answer.in_domain
        dummy[out] = np.median(values[rest])
        linear[out] = linear_prediction(train, values[rest], unseen)
        logger.info("fold %d: MAE %.4g of %d rows", fold, np.abs(mean[out] - values[out]).mean(), len(out))
    held = np.abs(mean - values) <= Z_LEVEL * std
    return {
        "split": split,
        "folds": folds,
        **figures(Prediction(mean, std, inside), values),
        "coverage_by_fold": [round(float(held[labels == fold].mean()), 3) for fold in np.unique(labels)],
        "dummy_mae": _short(np.abs(dummy - values).mean()),
        "linear_mae": _short(np.abs(linear - values).mean()),
    }


def linear_prediction(train: Sequence[Any], values: np.ndarray, unseen: Sequence[Any]) -> np.ndarray:
    """Ridge regression, its penalty chosen by leave-one-out error.

    On composition vectors and element fractions, or on descriptors and fingerprints where molecules are SMILES.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    parts: Any = (composition_features, fractions)
    if len(train) and isinstance(train[0], str):
        parts = (descriptors, fingerprints)
    model.fit(np.hstack([part(train) for part in parts]), values)
    found = model.predict(np.hstack([part(unseen) for part in parts]))
    return np.asarray(np.clip(found, values.min(), values.max()))


def figures(prediction: Prediction, values: np.ndarray) -> dict[str, Any]:
    """Errors and coverage of predictions of S materials, in the property's unit.

    ``mae``, ``rmse``, ``coverage_90`` (share within mean ± 1.645 std), ``in_domain`` (share), ``mae_in_domain``,
    ``mae_most_certain_half`` (over the half with the smaller std), ``mae_kept`` (see :func:`retention`).
    """
    error = np.abs(prediction.mean - values)
    certain = prediction.std <= np.median(prediction.std)
    found = {
        "mae": error.mean(),
        "rmse": np.sqrt((error**2).mean()),
        "coverage_90": (error <= Z_LEVEL * prediction.std).mean(),
        "in_domain": prediction.in_domain.mean(),
        "mae_in_domain": error[prediction.in_domain].mean() if prediction.in_domain.any() else float("nan"),
        "mae_most_certain_half": error[certain].mean(),
    }
    rounded = {name: _short(figure) for name, figure in found.items() if np.isfinite(figure)}
    return {"rows": len(values), **rounded, "mae_kept": retention(error, prediction.std)}


def retention(errors: np.ndarray, uncertainty: np.ndarray) -> list[float]:
    """Mean error of the most certain 100, 80, 60, 40 and 20 %."""
    order = np.argsort(uncertainty, kind="stable")
    return [_short(errors[order[: max(1, round(len(errors) * share))]].mean()) for share in STEPS]


def _short(figure: float) -> float:
    """Six digits that count, whatever the unit: a thermal expansion is some 1e-5 1/K."""
    return float(f"{figure:.6g}")


def _unit(material: Any, split: Split, row: int) -> str:
    """What must not lie on both sides, as text."""
    if split == "random":
        return str(row)
    if split == "scaffold":
        return scaffold(smiles_of(material))
    if isinstance(material, str):
        (material,) = compositions([material])
    parts: list[Hashable] = [z if split == "chemical_system" else (z, round(x, 6)) for z, x in amounts(material)]
    return str(parts)
