"""A sampler that learns from the chemistry of candidates, not from their parameters alone.

An ordinary Optuna sampler: among the points that a space offers it takes the one whose evaluation promises most by a
model of the results so far.

Shapes: n points, m objectives, D numbers that describe a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import optuna
from optuna.trial import TrialState

from matgen.errors import ConfigError
from matgen.optimize.acquisition import Acquisition, probability_of_feasibility, promise, scalarised, window_moments
from matgen.optimize.regression import Model, Regressor, fitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from matgen.optimize.aims import Aim, Limit
    from matgen.optimize.spaces.base import Space

KEY, ITEM = "key", "item"
"""User attributes of a trial: what names its candidate, and from what it is made."""


@dataclass
class Surrogate:
    """Settings of the sampler.

    Args:
        model: ``forest``, ``trees`` or ``gaussian_process``.
        acquisition: ``expected_improvement``, ``upper_confidence_bound`` or ``probability_of_feasibility``.
        kappa: Standard deviations of the confidence bound.
        startup: Results before the model is asked; random points until then.
        retrain: New results after which the model is fitted again, at the least.
        growth: Share by which the results must have grown as well. A fit costs the more, and changes the less, the
            more results there are, so the cost of a trial stays the same.
        candidates: Points among which the model chooses.
        inputs: What the model sees: the chemical ``description`` of a candidate, or only the ``coordinates`` (the
            parameters, which must then be numbers).
    """

    model: Regressor = "trees"
    acquisition: Acquisition = "expected_improvement"
    kappa: float = 1.0
    startup: int = 16
    retrain: int = 8
    growth: float = 0.1
    candidates: int = 50_000
    inputs: Literal["description", "coordinates"] = "description"


class SurrogateSampler(optuna.samplers.BaseSampler):
    """Chooses points by the acquisition of a model that is refitted as results arrive.

    With several objectives, each refit scalarises them with random weights (ParEGO), so that the choices spread along
    the Pareto front. Limits enter by the probability that they are kept.

    Args:
        space: Offers and describes points.
        aims: Objectives.
        limits: Bounds on other values of a candidate.
        settings: See :class:`Surrogate`.
        seed: Of everything random.
    """

    def __init__(
        self, space: Space, aims: Sequence[Aim], limits: Sequence[Limit], settings: Surrogate, seed: int
    ) -> None:
        self.space, self.aims, self.limits, self.settings = space, aims, limits, settings
        self._random = optuna.samplers.RandomSampler(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._queue: list[dict[str, Any]] = []
        self._fitted_on = -1
        self._seen = optuna.search_space.IntersectionSearchSpace()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters seen so far."""
        return self._seen.calculate(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The most promising point that is not taken; nothing, and so a random point, until there are results."""
        trials = study.get_trials(deepcopy=False)
        done = [t for t in trials if t.state == TrialState.COMPLETE and KEY in t.user_attrs]
        if len(done) < self.settings.startup or not search_space:
            return {}
        taken = {t.user_attrs[KEY] for t in trials if KEY in t.user_attrs}
        if not self._queue or len(done) >= self._fitted_on + self._patience(self._fitted_on):
            self._queue, self._fitted_on = self._ordered(done, taken), len(done)
        while self._queue:
            point = self._queue.pop(0)
            if set(point) == set(search_space):
                return point
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Draw anew."""
        self._random.reseed_rng()
        self._rng = np.random.default_rng()

    def _ordered(self, done: list[FrozenTrial], taken: set[str]) -> list[dict[str, Any]]:
        """Options, the most promising first."""
        options = self.space.options(taken, self.settings.candidates, self._rng)
        if not options:
            return []
        if self.settings.inputs == "coordinates":
            known = _coordinates([t.params for t in done], options[0].params)
            offered = _coordinates([option.params for option in options], options[0].params)
        else:
            known = self.space.describe([t.user_attrs[ITEM] for t in done])
            offered = self.space.describe([option.item for option in options])
        losses, (mean, std) = self._losses(done, known, offered)
        kept = np.array([all(v <= 0 for v in t.constraints.values()) for t in done])
        chances = [self._chance(limit, done, known, offered) for limit in self.limits]
        score = promise(mean, std, losses[kept], self.settings.acquisition, self.settings.kappa, chances)
        best = np.argsort(-score, kind="stable")[: 4 * self._patience(len(done))]
        return [options[int(i)].params for i in best]

    def _patience(self, fitted_on: int) -> int:
        """Results to wait for after a fit on so many."""
        return max(self.settings.retrain, int(self.settings.growth * fitted_on))

    def _losses(
        self, done: list[FrozenTrial], known: np.ndarray, offered: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Scalar losses of the results (n,), and mean and standard deviation of those of the options."""
        values = np.array([t.values for t in done], dtype=float)
        signs = np.array([-1.0 if aim.goal == "maximise" else 1.0 for aim in self.aims])
        losses = values * signs
        if len(self.aims) > 1:
            low, high = losses.min(axis=0), losses.max(axis=0)
            weights = self._rng.dirichlet(np.ones(len(self.aims)))
            single = scalarised((losses - low) / np.maximum(high - low, 1e-12), weights)
            return single, self._fit(known, single).predict(offered)
        aim = self.aims[0]
        raw = np.array([t.user_attrs.get(aim.property, np.nan) for t in done], dtype=float)
        if aim.low is None or aim.high is None or not np.isfinite(raw).all():
            return losses[:, 0], self._fit(known, losses[:, 0]).predict(offered)
        # The value itself is smoother than its distance to a window, so that is what the model learns.
        return losses[:, 0], window_moments(*self._fit(known, raw).predict(offered), aim.low, aim.high)

    def _chance(self, limit: Limit, done: list[FrozenTrial], known: np.ndarray, offered: np.ndarray) -> np.ndarray:
        values = np.array([t.user_attrs.get(limit.property, np.nan) for t in done], dtype=float)
        finite = np.isfinite(values)
        if finite.sum() < 2:
            return np.ones(len(offered))
        return probability_of_feasibility(*self._fit(known[finite], values[finite]).predict(offered), limit)

    def _fit(self, points: np.ndarray, values: np.ndarray) -> Model:
        return fitted(self.settings.model, points, values, self._rng)


def _coordinates(points: Sequence[Mapping[str, Any]], names: Iterable[str]) -> np.ndarray:
    """(n, L) parameters as numbers, in the order of the names."""
    order = list(names)
    try:
        return np.array([[float(point[name]) for name in order] for point in points])
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "the parameters of this space are no numbers.", where="sampler.surrogate.inputs", fix="Use 'description'."
        ) from error
