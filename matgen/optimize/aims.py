"""What a search optimises and what it must keep to, as Optuna's directions, values and constraints.

Shapes: n candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Goal = Literal["minimise", "maximise", "window"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    property: str
    low: float | None = None
    high: float | None = None


class Aim(_Part):
    """One property and what is wanted of it.

    Args:
        property: Name among the values of a candidate.
        goal: ``minimise``, ``maximise``, or ``window``: the distance to the range from low to high is minimised.
        low: Lower end of the window.
        high: Upper end of the window.
    """

    goal: Goal = "minimise"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ends = (self.low is not None) + (self.high is not None)
        if ends != (2 if self.goal == "window" else 0):
            raise ValueError("a window needs low and high, and nothing else has them")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not be above high ({self.high:g})")
        return self

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Optuna's name of the direction."""
        return "maximize" if self.goal == "maximise" else "minimize"

    @property
    def label(self) -> str:
        """Name of the objective in tables and in the dashboard."""
        if self.goal != "window":
            return self.property
        return f"{self.property} from {self.low:g} to {self.high:g}"

    def value(self, value: float) -> float:
        """What Optuna is told: the value, or its distance to the window."""
        if self.low is None or self.high is None:
            return value
        return max(self.low - value, value - self.high, 0.0)

    def loss(self, values: np.ndarray) -> np.ndarray:
        """(n,) the same, signed so that small is good."""
        if self.low is not None and self.high is not None:
            return np.maximum(np.maximum(self.low - values, values - self.high), 0.0)
        return -values if self.goal == "maximise" else values


class Limit(_Part):
    """A bound that a candidate must keep to; broken, the trial is infeasible in Optuna's sense.

    Args:
        property: Name among the values of a candidate.
        low: Smallest allowed value.
        high: Largest allowed value.
    """

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("a limit needs low or high")
        return self

    def violation(self, value: float) -> float:
        """How far the value lies beyond the limit, in its unit; at most 0 where it is kept."""
        ends = [self.low - value] if self.low is not None else []
        return max([*ends, *([value - self.high] if self.high is not None else [])])


def as_aims(spellings: Sequence[Aim | Mapping[str, Any]]) -> tuple[Aim, ...]:
    """Aims from their spelling in a workflow file.

    Raises:
        ConfigError: One is not well formed, or there is none.
    """
    if not spellings:
        raise ConfigError("there is nothing to optimise.", where="objectives", fix="Name at least one property.")
    return tuple(_read(Aim, spelling, f"objectives.{i}") for i, spelling in enumerate(spellings))


def as_limits(spellings: Sequence[Limit | Mapping[str, Any]]) -> tuple[Limit, ...]:
    """Limits from their spelling in a workflow file.

    Raises:
        ConfigError: One is not well formed.
    """
    return tuple(_read(Limit, spelling, f"limits.{i}") for i, spelling in enumerate(spellings))


def _read(kind: Any, spelling: Any, where: str) -> Any:
    if isinstance(spelling, kind):
        return spelling
    try:
        return kind.model_validate(dict(spelling))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([where, *map(str, first["loc"])])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{said}, found {first['input']!r}.", where=place) from error
