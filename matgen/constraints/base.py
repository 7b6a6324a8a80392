"""The contract of a constraint: one piece of domain knowledge, up to four roles.

Shapes: A atoms, S systems, Z atomic numbers (0 to 118; index 0 is "undetermined").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from matgen.errors import ConfigError
from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

Role = Literal["check", "penalty", "mask", "project"]
ROLES: tuple[Role, ...] = ("check", "penalty", "mask", "project")
INSIDE: tuple[Role, ...] = ("mask", "penalty", "project")
"""Roles in which a constraint acts while a structure is made."""

CONSTRAINTS: Registry[type[Constraint]] = Registry(
    "constraint", "matgen.constraints", modules=("matgen.surrogates.property_window",)
)


@dataclass(frozen=True)
class Verdict:
    """What a constraint says of S structures.

    Args:
        passed: (S,) whether each structure satisfies it.
        score: (S,) the number behind the decision, in the unit that the constraint states.
        reasons: For each structure a sentence a chemist would use, or None where it passed.
    """

    passed: np.ndarray
    score: np.ndarray
    reasons: tuple[str | None, ...]

    @classmethod
    def of(cls, scores: Sequence[float], reasons: Sequence[str | None]) -> Verdict:
        """A verdict in which exactly the structures without a reason pass."""
        return cls(np.array([r is None for r in reasons]), np.asarray(scores, dtype=float), tuple(reasons))


@dataclass(frozen=True)
class Constraint:
    """Domain knowledge that can filter, and where the knowledge allows also shape generation.

    Subclasses are frozen dataclasses: their fields are the settings a workflow may give. ``check`` is
    compulsory; ``penalty``, ``mask`` and ``project`` are overridden where they make sense, and asking for a
    role that is not overridden is a ConfigError.

    Args:
        acting: The roles in which it acts, written ``roles`` in a workflow; by default all that it can play.
    """

    name: ClassVar[str]
    guides: ClassVar[bool] = True
    """Whether the penalty, if there is one, depends on positions or cell; else it is of use in training only."""
    settling: ClassVar[int] = 10
    """Corrections of a finished crystal at most, by the guidance of a penalty."""

    acting: tuple[Role, ...] | None = field(default=None, kw_only=True)

    @classmethod
    def roles(cls) -> tuple[Role, ...]:
        """The roles that this constraint can play."""
        return tuple(role for role in ROLES if getattr(cls, role) is not getattr(Constraint, role))

    def available(self) -> tuple[Role, ...]:
        """The roles that it can play with these settings; fewer than :meth:`roles` where one depends on a setting."""
        return self.roles()

    def require_role(self, role: Role) -> None:
        """Raise a ConfigError, before any work starts, if the role is missing."""
        if role not in self.available():
            with_others = " with these settings" if role in self.roles() else ""
            raise ConfigError(
                f"the constraint {self.name!r} cannot act as {role!r}{with_others}.",
                fix=f"It can act as: {', '.join(self.available())}.",
            )

    def acts_as(self, role: Role) -> bool:
        """Whether it can play the role and is not limited to others."""
        return role in (self.available() if self.acting is None else self.acting)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Filter: does each structure satisfy the constraint, and if not, why?"""
        raise NotImplementedError

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) non-negative, differentiable in ``frac`` and ``cell``, zero exactly where ``check`` passes."""
        raise ConfigError(f"the constraint {self.name!r} cannot act as 'penalty'.")

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) boolean: elements that each undetermined atom may still become.

        Args:
            numbers: (S, A) atomic numbers, 0 where undetermined.
            real: (S, A) boolean, False on padding.
        """
        raise ConfigError(f"the constraint {self.name!r} cannot act as 'mask'.")

    def permits(self, numbers: np.ndarray) -> bool:
        """Whether the mask allows the elements ``numbers (A,)`` of a whole cell, determined one after the other."""
        import torch

        whole = torch.as_tensor(numbers, dtype=torch.long)
        a = len(whole)
        # Row k is the cell of which the first k atoms are determined.
        stages = whole.expand(a, a).tril(-1)
        step = torch.arange(a)
        return bool(self.mask(stages, torch.ones(a, a, dtype=torch.bool))[step, step, whole].all())

    def project(self, batch: Batch) -> Batch:
        """The nearest batch that satisfies the constraint; projecting twice changes nothing more."""
        raise ConfigError(f"the constraint {self.name!r} cannot act as 'project'.")
