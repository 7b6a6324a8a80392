"""The contract of an evaluator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Aim, Limit

EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator", "matgen.optimize.evaluators")

NOT_PROMOTED = "promotion"
"""Stage of a candidate that did not fail but was not worth the next, dearer step."""


class Evaluator(ABC):
    """Gives candidates their values.

    Subclasses are dataclasses: their fields are the settings a workflow may give.
    """

    name: ClassVar[str]

    def check(self, aims: Sequence[Aim], limits: Sequence[Limit]) -> None:  # noqa: B027 - most need none
        """Raise a ConfigError, before any work, for what cannot be honoured."""

    @abstractmethod
    def evaluate(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with a column for each wanted property.

        What fails is rejected with stage and reason; with the stage :data:`NOT_PROMOTED`, what is not worth going on
        with.
        """

    @property
    def learns(self) -> bool:
        """Whether :meth:`learn` does anything."""
        return False

    def learn(self, known: Candidates, rng: np.random.Generator) -> None:  # noqa: B027 - most need none
        """Take in what the search has found so far; called every few rounds with all evaluated candidates."""
