"""The contract of an interatomic potential.

Shapes: A atoms, S systems. Energies eV, forces eV/Å, stresses eV/Å³ (positive when the cell wants to contract).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.errors import ConfigError
from matgen.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from ase.calculators.calculator import Calculator
    from torch_geometric.data import Batch

    from matgen.stability.energy import EnergyScale

POTENTIALS: Registry[type[Potential]] = Registry("potential", "matgen.stability.potentials")

MPTRJ_ELEMENTS = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""Elements of the Materials Project trajectories (MPtrj), from which many potentials learned: H to Pu but Po to Ra."""

PotentialSpec = str | Mapping[str, Any]
"""A name, or a mapping with ``name`` and the potential's own settings (for example ``weights``)."""


@dataclass(frozen=True)
class Evaluation:
    """What a potential says of S systems with A atoms in all.

    Args:
        energy: (S,) eV per cell.
        forces: (A, 3) eV/Å; None if they were not asked for.
        stress: (S, 3, 3) eV/Å³, derivative of the energy by strain over the volume; None likewise.
    """

    energy: np.ndarray
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None


class Potential(ABC):
    """Energies, forces and stresses of periodic systems.

    Subclasses are built from plain settings (they must be able to travel to a worker process by name) and say
    what they know.
    """

    name: ClassVar[str]
    cutoff: float = 6.0
    """Atoms farther apart than this do not see each other, Å."""

    @property
    @abstractmethod
    def scale(self) -> EnergyScale:
        """The scale of its energies."""

    @property
    @abstractmethod
    def elements(self) -> frozenset[int]:
        """Atomic numbers that it knows."""

    @abstractmethod
    def evaluate(self, batch: Batch, *, forces: bool = True) -> Evaluation:
        """Evaluate all systems of a batch at once.

        Args:
            batch: ``numbers (A,)``, ``frac (A, 3)``, ``cell (S, 3, 3)``, ``batch (A,)``, as
                :func:`matgen.data.structures.to_batch` makes it.
            forces: Whether forces and stresses are wanted.
        """

    def embeddings(self, batch: Batch) -> np.ndarray:
        """Vectors (S, F) of what the potential knows of each system, whatever cell describes it; not all have them.

        Raises:
            ConfigError: This potential gives none.
        """
        raise ConfigError(f"the potential {self.name!r} gives no embeddings of {batch.num_graphs} structures.")

    @abstractmethod
    def calculator(self) -> Calculator:
        """An ASE calculator, as the potential's own package provides it."""


def load_potential(spec: PotentialSpec = "chgnet") -> Potential:
    """The potential of that name with its settings; loaded once in each process.

    Raises:
        ConfigError: No such potential, or a setting that it does not have.
        MissingPackageError: Its package or its weights are not installed.
    """
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in settings:
        raise ConfigError("the potential has no name.", where="potential", fix="Give {name: ..., ...}.")
    return _load(settings.pop("name"), tuple(sorted(settings.items())))


@lru_cache(maxsize=4)
def _load(name: str, settings: tuple[tuple[str, Any], ...]) -> Potential:
    kind = POTENTIALS.get(name)
    try:
        signature(kind).bind(**dict(settings))
    except TypeError as error:
        raise ConfigError(f"the potential {name!r} cannot be built: {error}.", where="potential") from error
    return kind(**dict(settings))
