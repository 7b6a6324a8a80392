"""The cheapest rung: chemistry's constraints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.constraints.screening import screen
from matgen.constraints.specification import DEFAULT_SPECS
from matgen.optimize.rungs.base import RUNGS, Rung

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Aim, Limit


@RUNGS.register("constraints")
@dataclass
class Constraints(Rung):
    """Rejects what breaks a constraint.

    Args:
        checks: Names, or names with settings.
    """

    name: ClassVar[str] = "constraints"

    checks: list[Any] = field(default_factory=lambda: list(DEFAULT_SPECS))

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Those that pass."""
        return screen(candidates, self.checks, executor=executor)
