"""A ladder of fidelities: each candidate climbs as far as it is worth, from constraints to the hull and beyond."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.errors import ConfigError
from matgen.optimize.evaluators.base import EVALUATORS, Evaluator
from matgen.optimize.parts import build
from matgen.optimize.rungs.base import RUNGS, Rung

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Aim, Limit

DEFAULT: tuple[Any, ...] = ("constraints", "surrogate", "single_point", "relax", "hull")


@EVALUATORS.register("ladder")
@dataclass
class Ladder(Evaluator):
    """Rungs in order, each with the share that it lets go on.

    Args:
        rungs: Names, or names with settings.
    """

    name: ClassVar[str] = "ladder"

    rungs: list[Any] | None = None

    def check(self, aims: Sequence[Aim], limits: Sequence[Limit]) -> None:
        """Refuse unknown rungs and settings."""
        if not self.steps:
            raise ConfigError("the ladder has no rungs.", where="evaluate.ladder.rungs")

    @cached_property
    def steps(self) -> list[Rung]:
        """The finished rungs."""
        specs = DEFAULT if self.rungs is None else self.rungs
        return [build(RUNGS, spec, f"evaluate.ladder.rungs.{i}") for i, spec in enumerate(specs)]

    @property
    def learns(self) -> bool:
        """Whether a rung learns."""
        return any(step.learns for step in self.steps)

    def learn(self, known: Candidates, rng: np.random.Generator) -> None:
        """Hand on what is known to the rungs that learn."""
        for step in self.steps:
            step.learn(known, rng)

    def evaluate(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates at the top of the ladder, and those that left it, with the rung and the reason."""
        for step in self.steps:
            if len(candidates):
                candidates = step.climb(candidates, aims, limits, executor)
        return candidates
