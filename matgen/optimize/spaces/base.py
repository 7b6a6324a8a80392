"""The contract of a search space.

Shapes: n points, D numbers that describe a point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.errors import ConfigError
from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np
    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

SPACES: Registry[type[Space]] = Registry("space", "matgen.optimize.spaces")


@dataclass(frozen=True)
class Proposal:
    """One point of a space.

    Args:
        item: Plain values from which the candidate is made.
        key: Equal for points that give the same candidate; None where only the finished structure tells.
        constraints: Optuna's constraints by name: at most 0 where met. A point that breaks one is not evaluated.
    """

    item: Row
    key: str | None
    constraints: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """A point among which a model chooses.

    Args:
        params: Optuna's parameter values.
        item: As in the proposal that they lead to.
    """

    params: dict[str, Any]
    item: Row


class Space(ABC):
    """What is varied, and how a point becomes a structure.

    Subclasses are dataclasses: their fields are the settings a workflow may give.
    """

    name: ClassVar[str]

    @abstractmethod
    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The point that the sampler of ``trial`` suggests.

        Args:
            trial: Asked through ``suggest_float`` and the like.
            taken: Keys of the points that were proposed before.
        """

    @abstractmethod
    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """The candidates of n points, with ids; what cannot be made is rejected with a reason.

        Args:
            items: Of the proposals.
            ids: Of the candidates.
            executor: Where long work runs.
        """

    def check(self) -> None:  # noqa: B027 - most need none
        """Raise a ConfigError for what types alone cannot tell: missing files, unknown elements."""

    def identity(self) -> str | None:
        """Identifies what the space stands on besides its settings, such as the content of a file."""
        return None

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, D) numbers by which a model may learn from the items of proposals."""
        raise ConfigError(f"the space {self.name!r} gives a model nothing to learn from.", where="sampler")

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Up to n points among which a model may choose; none where the space cannot say."""
        return []

    def start(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Parameters of up to n points that keep all constraints, where points drawn blindly hardly ever do."""
        return []

    def grid(self) -> dict[str, list[Any]]:
        """Values of each parameter for a grid search."""
        raise ConfigError(f"the space {self.name!r} has no grid.", where="sampler", fix="Choose another sampler.")
