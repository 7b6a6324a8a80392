"""What is sought of one property, and how well a value meets it.

Shapes: n candidates.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Goal = Literal["minimise", "maximise", "target"]


class Objective(BaseModel):
    """One property and what is wanted of it.

    The desirability of a value runs from 0 (unacceptable) to 1 (as good as can be wished). With the bounds l and h,
    the tolerance t and the shape s it is, after Derringer and Suich (J. Qual. Technol. 12, 214, 1980),

    * minimise: 1 up to l, ((h - y) / (h - l))^s between, 0 from h on;
    * maximise: 0 up to l, ((y - l) / (h - l))^s between, 1 from h on;
    * target: 1 from l to h, falling as (1 - d / t)^s with the distance d from that window, 0 from t on.

    An uncertain value counts as the worst one within ``caution`` standard deviations. The desirability of a value
    measured from a hull of too few known compounds is multiplied by u = ``unfamiliar``, that of one predicted outside
    the model's domain by u^d, where d is its distance from the training data (1 at the edge of the domain).

    Args:
        property: Column that holds the value; its standard deviation is looked for in ``<property>_std``.
        goal: ``minimise``, ``maximise`` or ``target``.
        low: Lower bound, in the property's unit.
        high: Upper bound.
        tolerance: Distance from the target window at which a value becomes unacceptable.
        weight: Weight in the geometric mean.
        shape: Exponent s: above 1 only values near the goal count, below 1 almost all do.
        caution: Standard deviations by which an uncertain value is taken for worse.
        unfamiliar: Factor on the desirability where the model or the hull had too little to go by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    property: str
    goal: Goal
    low: float
    high: float
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    weight: Annotated[float, Field(gt=0)] = 1.0
    shape: Annotated[float, Field(gt=0)] = 1.0
    caution: Annotated[float, Field(ge=0)] = 1.0
    unfamiliar: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high or (self.low == self.high and self.goal != "target"):
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if (self.tolerance > 0) != (self.goal == "target"):
            raise ValueError("a target needs a tolerance above 0, and nothing else has one")
        return self

    def pessimistic(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """(n,) the worst value within ``caution`` standard deviations.

        For a target that is the end of the interval farther from the window's centre.

        Args:
            mean: (n,) values.
            std: (n,) standard deviations, 0 where a value is exact.
        """
        if self.goal == "target":
            outward = np.where(mean >= (self.low + self.high) / 2, 1.0, -1.0)
            return mean + outward * self.caution * std
        return mean + (1.0 if self.goal == "minimise" else -1.0) * self.caution * std

    def desirability(self, values: np.ndarray) -> np.ndarray:
        """(n,) desirability of values taken as exact; 0 where a value is missing."""
        if self.goal == "target":
            share = 1 - self._distance(values) / self.tolerance
        else:
            share = (values - self.low) / (self.high - self.low)
            share = 1 - share if self.goal == "minimise" else share
        return np.nan_to_num(np.clip(share, 0.0, 1.0), nan=0.0) ** self.shape

    def loss(self, values: np.ndarray) -> np.ndarray:
        """(n,) what a Pareto comparison minimises; infinite where a value is missing."""
        losses = {"minimise": values, "maximise": -values, "target": self._distance(values)}[self.goal]
        return np.where(np.isnan(values), np.inf, losses)

    def _distance(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(np.maximum(self.low - values, values - self.high), 0.0)
