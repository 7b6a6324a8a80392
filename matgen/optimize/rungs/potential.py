"""Rungs of an interatomic potential: single point, relaxation, hull."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from matgen.optimize.aims import Aim
from matgen.optimize.rungs.base import RUNGS, Rung, promoted
from matgen.stability.hull import hull
from matgen.stability.relaxation import relax, single_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Limit

Share = Annotated[float, Field(gt=0, le=1)]


@RUNGS.register("single_point")
@dataclass
class SinglePoint(Rung):
    """Energy of the structure as it is, from the reference hull: ``e_above_hull_unrelaxed``.

    Args:
        potential: Name of the potential.
        reference: Table of reference energies.
        promote: Share that goes on.
        by: Column by which it is chosen.
    """

    name: ClassVar[str] = "single_point"

    potential: str = "chgnet"
    reference: str = "chgnet-0.3.0"
    promote: Share = 0.5
    by: Aim = field(default_factory=lambda: Aim(property="e_above_hull_unrelaxed"))

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """The best share."""
        judged = hull(
            single_point(candidates, self.potential, executor=executor), self.reference, energies="energy_unrelaxed"
        )
        return promoted(judged, self.promote, self.by, self.name)


@RUNGS.register("relax")
@dataclass
class Relax(Rung):
    """Relaxation.

    Args:
        potential: Name of the potential.
        fmax: Largest force of a relaxed structure, eV/Å.
        max_steps: Steps at most.
        seconds: Time limit of one structure.
        promote: Share that goes on.
        by: Column by which it is chosen, such as ``energy``.
    """

    name: ClassVar[str] = "relax"

    potential: str = "chgnet"
    fmax: float = 0.05
    max_steps: int = 300
    seconds: float = 300.0
    promote: Share = 1.0
    by: Aim | None = None

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Relaxed candidates."""
        settings: dict[str, Any] = {"fmax": self.fmax, "max_steps": self.max_steps, "seconds": self.seconds}
        done = relax(candidates, self.potential, **settings, executor=executor)
        return promoted(done, self.promote, self.by, self.name)


@RUNGS.register("hull")
@dataclass
class Hull(Rung):
    """Energy above the reference hull of relaxed candidates.

    Args:
        reference: Table of reference energies.
        promote: Share that goes on to a dearer rung, such as the bulk modulus.
        by: Column by which it is chosen.
    """

    name: ClassVar[str] = "hull"

    reference: str = "chgnet-0.3.0"
    promote: Share = 1.0
    by: Aim = field(default_factory=lambda: Aim(property="e_above_hull"))

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Judged candidates."""
        return promoted(hull(candidates, self.reference), self.promote, self.by, self.name)
