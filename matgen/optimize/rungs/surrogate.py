"""Rungs of surrogates: shipped ones predict, one that learns from the search chooses.

Shapes: n candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from matgen.data.property import PROPERTIES, Property
from matgen.optimize.acquisition import Acquisition, probability_of_feasibility, promise, scalarised
from matgen.optimize.aims import Aim  # noqa: TC001 - the type of a setting is read while matgen runs
from matgen.optimize.rungs.base import RUNGS, Rung, best_share, promoted
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.prediction import DISTANCE, IN_DOMAIN, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Limit
    from matgen.surrogates.base import Prediction, Surrogate

LEAST = 40
"""Evaluated candidates before a surrogate is fitted."""


@RUNGS.register("predict")
@dataclass
class Predict(Rung):
    """Adds a predicted property and its standard deviation.

    Args:
        property: Its name.
        model: Shipped surrogate or folder; the shipped one of the property where none is named.
        column: Column of the prediction; the property's name where none is given.
        promote: Share that goes on.
        by: Column by which it is chosen.
    """

    name: ClassVar[str] = "predict"

    property: str
    model: str | None = None
    column: str | None = None
    promote: Annotated[float, Field(gt=0, le=1)] = 1.0
    by: Aim | None = None

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with the prediction."""
        column = self.column or self.property
        bare = type(candidates)(candidates.table[["id"]], candidates.structures)
        found = predict(self.property, bare, self.model).table
        names = {column: found[self.property], f"{column}_std": found[f"{self.property}_std"]}
        names |= {f"{column}_{part}": found[part] for part in (IN_DOMAIN, DISTANCE)}
        return promoted(candidates.with_columns(names), self.promote, self.by, self.name)


@RUNGS.register("surrogate")
@dataclass
class Learned(Rung):
    """A surrogate fitted to what the search has evaluated, asked which candidates promise most.

    It is fitted anew as the search goes on. Until enough is known, all go on.

    Args:
        model: Name of a surrogate.
        acquisition: ``expected_improvement``, ``upper_confidence_bound`` or ``probability_of_feasibility``. Limits
            enter all by their probability.
        kappa: Standard deviations of the confidence bound.
        promote: Share that goes on.
    """

    name: ClassVar[str] = "surrogate"

    model: str = "composition-forest"
    acquisition: Acquisition = "expected_improvement"
    kappa: float = 1.0
    promote: Annotated[float, Field(gt=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        self._known: Candidates | None = None
        self._fitted: dict[str, Surrogate] = {}
        self._rng = np.random.default_rng(0)

    @property
    def learns(self) -> bool:
        """True."""
        return True

    def learn(self, known: Candidates, rng: np.random.Generator) -> None:
        """Fit anew, when next asked, on all evaluated candidates."""
        if len(known) >= LEAST:
            self._known, self._fitted, self._rng = known, {}, rng

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """The share that promises most."""
        known = self._known
        if known is None or len(candidates) < 2:
            return candidates
        predicted = {part.property: self._prediction(part.property, known, candidates) for part in (*aims, *limits)}
        found = np.array([_column(known, aim.property) for aim in aims]).T
        signs = np.array([1.0 if aim.goal != "maximise" else -1.0 for aim in aims])
        losses = np.array([aim.loss(column) for aim, column in zip(aims, found.T, strict=True)]).T
        means = np.array([aim.loss(predicted[aim.property].mean) for aim in aims]).T
        stds = np.array([predicted[aim.property].std for aim in aims]).T * np.abs(signs)
        low, width = losses.min(axis=0), np.ptp(losses, axis=0) + 1e-12
        weights = np.full(len(aims), 1 / len(aims))
        mean = scalarised((means - low) / width, weights)
        std = np.sqrt(np.square(stds / width * weights).sum(axis=1))
        feasible = known.table["feasible"].to_numpy(dtype=bool)
        done = scalarised((losses[feasible] - low) / width, weights)
        chances = [
            probability_of_feasibility(predicted[limit.property].mean, predicted[limit.property].std, limit)
            for limit in limits
        ]
        score = promise(mean, std, done, self.acquisition, self.kappa, chances)
        return best_share(candidates, self.promote, -score, f"{self.acquisition} of {self.model}", score)

    def _prediction(self, name: str, known: Candidates, candidates: Candidates) -> Prediction:
        if name not in self._fitted:
            prop = PROPERTIES.get(name) or Property(name, name, "")
            model = SURROGATES.get(self.model)(prop)
            values = _column(known, name)
            whole = np.isfinite(values)
            structures = [s for s, keep in zip(known.structures, whole, strict=True) if keep]
            model.fit(structures, values[whole], rng=self._rng)
            self._fitted[name] = model
        return self._fitted[name].predict(candidates.structures)


def _column(known: Candidates, name: str) -> np.ndarray:
    return known.table[name].to_numpy(dtype=float)
