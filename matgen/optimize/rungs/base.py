"""The contract of a rung: one step of the ladder from cheap to dear, and who goes on to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.errors import ConfigError, did_you_mean
from matgen.optimize.evaluators.base import NOT_PROMOTED
from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Aim, Limit

RUNGS: Registry[type[Rung]] = Registry("rung", "matgen.optimize.rungs")


class Rung(ABC):
    """One step of the ladder.

    Subclasses are dataclasses: their fields are the settings a workflow may give. Those with a field ``promote`` let
    that share of the candidates of a round go on, the best ones ``by`` some column.
    """

    name: ClassVar[str]

    @abstractmethod
    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with the columns of this rung; what fails is rejected with stage and reason."""

    @property
    def learns(self) -> bool:
        """Whether :meth:`learn` does anything."""
        return False

    def learn(self, known: Candidates, rng: np.random.Generator) -> None:  # noqa: B027 - most need none
        """Take in what the search has found so far."""


def promoted(candidates: Candidates, share: float, by: Aim | None, rung: str) -> Candidates:
    """The best share of the candidates by a column; at least one goes on.

    Args:
        candidates: With the column.
        share: From 0 to 1.
        by: Column and what is wanted of it.
        rung: Name for messages.

    Raises:
        ConfigError: There is no such column.
    """
    if share >= 1 or len(candidates) < 2:
        return candidates
    if by is None:
        raise ConfigError("a share is promoted, but not by what.", where=f"{rung}.by", fix="Name a property.")
    if by.property not in candidates.table:
        fix = did_you_mean(by.property, map(str, candidates.table.columns))
        raise ConfigError(f"the rung gives no column {by.property!r}.", where=f"{rung}.by", fix=fix)
    values = candidates.table[by.property].to_numpy(dtype=float)
    return best_share(candidates, share, np.nan_to_num(by.loss(values), nan=np.inf), f"{rung}, {by.label}", values)


def best_share(candidates: Candidates, share: float, losses: np.ndarray, what: str, values: np.ndarray) -> Candidates:
    """The candidates with the smallest losses; the others are rejected as not promoted.

    Args:
        candidates: n of them.
        share: From 0 to 1.
        losses: (n,) small is good.
        what: By what they are compared, for the reason.
        values: (n,) shown in the reason.
    """
    n = ceil(share * len(candidates))
    place = np.empty(len(candidates), dtype=int)
    place[np.argsort(losses, kind="stable")] = np.arange(1, len(candidates) + 1)
    reasons = [
        None if p <= n else f"place {p} of {len(place)} by {what} ({v:.4g}); {n} went on"
        for p, v in zip(place.tolist(), values.tolist(), strict=True)
    ]
    return candidates.reject(NOT_PROMOTED, reasons)
