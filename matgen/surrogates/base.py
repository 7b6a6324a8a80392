"""The contract of a surrogate: a property with its uncertainty, quickly.

Shapes: S structures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from matgen.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from pymatgen.core import Structure

    from matgen.data.property import Property
    from matgen.surrogates.conformal import ErrorModel, Judged

SURROGATES: Registry[type[Surrogate]] = Registry("surrogate", "matgen.surrogates")


@dataclass(frozen=True)
class Prediction:
    """Predictions for S structures, in the property's unit.

    Args:
        mean: (S,) expected value.
        std: (S,) standard deviation.
        in_domain: (S,) whether the training data resemble the structure: near enough, and no element is new.
        distance: (S,) from the training data, 1 where the farthest 1 % of data like them begin; None if not measured.
    """

    mean: np.ndarray
    std: np.ndarray
    in_domain: np.ndarray
    distance: np.ndarray | None = None


class Surrogate(ABC):
    """A model of one property. A surrogate without uncertainty is not a surrogate.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    prop: Property
    card: dict[str, Any]
    """What :meth:`save` wrote beside the weights."""
    reads: ClassVar[Literal["compositions", "structures", "molecules"]] = "compositions"
    """What it needs at least: formulas, crystals whose sites hold one element each, or molecules with their bonds."""
    errors: ErrorModel | None
    """What turns signals of uncertainty into standard deviations; set it anew to calibrate on other rows."""

    @abstractmethod
    def __init__(self, prop: Property, **config: Any) -> None: ...

    @abstractmethod
    def fit(
        self,
        structures: Sequence[Structure],
        values: np.ndarray,
        *,
        rng: np.random.Generator,
        folder: Path | None = None,
    ) -> None:
        """Learn from structures and (S,) values in the property's unit.

        Args:
            structures: S structures; models on compositions also take compositions.
            values: (S,), all finite.
            rng: Of everything random.
            folder: Where a long fit keeps its progress, so that the same call goes on after an interruption.
        """

    @abstractmethod
    def predict(self, structures: Sequence[Structure]) -> Prediction:
        """Mean, standard deviation and domain for each structure."""

    @abstractmethod
    def judge(self, structures: Sequence[Structure], values: np.ndarray) -> Judged:
        """Signals of uncertainty and errors on structures that were not learned from, with (S,) true values."""

    def spread(self, structures: Sequence[Structure]) -> np.ndarray | None:
        """(S,) plain standard deviation over members, the usual baseline of uncertainty; None where there are none."""
        return None

    @abstractmethod
    def save(self, folder: Path, **facts: Any) -> None:
        """Write ``weights.safetensors`` and a ``card.json`` that suffices to rebuild the object.

        ``facts`` (data, metrics, licence ...) join the card.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Surrogate:
        """Rebuild from what :meth:`save` wrote; a mismatch is refused."""
