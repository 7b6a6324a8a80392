"""Settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from matgen.errors import ConfigError
from matgen.optimize.spaces.base import SPACES, Proposal, Space
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row


class Range(BaseModel):
    """Values that a setting may take.

    Args:
        choices: A list of values, or
        low: the smallest and
        high: the largest value.
        log: Whether orders of magnitude count alike.
        whole: Whether only whole numbers do.
        points: Values of this setting in a grid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    choices: list[Any] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    points: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give either choices, or low and high")
        if self.low is not None and self.high is not None and (self.low > self.high or (self.log and self.low <= 0)):
            raise ValueError("low must not be above high, and must be positive on a logarithmic scale")
        return self

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value from the sampler."""
        if self.choices is not None:
            return trial.suggest_categorical(name, self.choices)
        low, high = float(self.low or 0.0), float(self.high or 0.0)
        if self.whole:
            return trial.suggest_int(name, round(low), round(high), log=self.log)
        return trial.suggest_float(name, low, high, log=self.log)

    def grid(self) -> list[Any]:
        """Evenly spaced values."""
        if self.choices is not None:
            return list(self.choices)
        spaced = np.geomspace if self.log else np.linspace
        values = spaced(float(self.low or 0.0), float(self.high or 0.0), self.points).tolist()
        return sorted({round(value) for value in values}) if self.whole else values


@SPACES.register("settings")
@dataclass
class Settings(Space):
    """Settings of a recipe, by their dotted names.

    Args:
        parameters: Values that each may take.
    """

    name: ClassVar[str] = "settings"

    parameters: dict[str, Range]

    def check(self) -> None:
        """Refuse a space without parameters."""
        if not self.parameters:
            raise ConfigError("nothing is varied.", where="space.settings.parameters")

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The suggested settings."""
        values = {name: part.suggest(trial, name) for name, part in self.parameters.items()}
        return Proposal(values, content_id(values))

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """Settings are no structures."""
        raise ConfigError("settings are tuned, not searched for structures.", fix="Use 'matgen tune'.")

    def grid(self) -> dict[str, list[Any]]:
        """Evenly spaced values of each setting."""
        return {name: part.grid() for name, part in self.parameters.items()}
