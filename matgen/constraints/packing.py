"""How tightly a cell is packed: volume per atom and density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.elements import atomic_mass
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

GRAMS_PER_CM3 = 1.66053906660
"""One u/Å³ in g/cm³."""

_TINY = 1e-12


@dataclass(frozen=True)
class _Window(Constraint):
    """A quantity of the cell lies between two limits, both allowed; the penalty is linear outside."""

    low: float
    high: float

    _quantity: ClassVar[str]
    _unit: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ConfigError(f"low={self.low}, high={self.high}.", where=self.name, fix="Give 0 <= low < high.")

    @staticmethod
    def _value(structure: Structure) -> float:
        raise NotImplementedError

    @staticmethod
    def _values(batch: Batch) -> torch.Tensor:
        raise NotImplementedError

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the value lies within the limits; the score is the value."""
        values = [self._value(structure) for structure in structures]
        return Verdict.of(values, [self._reason(value) for value in values])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) Distance of the value from the window, in its unit."""
        value = self._values(batch)
        return (self.low - value).clamp_min(0) + (value - self.high).clamp_min(0)

    def _reason(self, value: float) -> str | None:
        if self.low <= value <= self.high:
            return None
        if not np.isfinite(value):
            return f"the {self._quantity} is not a finite number"
        side = (
            f"below the lowest allowed {self.low:g}" if value < self.low else f"above the highest allowed {self.high:g}"
        )
        return f"the {self._quantity} of {value:.3g} {self._unit} is {side} {self._unit}"


@CONSTRAINTS.register("volume_per_atom")
@dataclass(frozen=True)
class VolumePerAtom(_Window):
    """Volume of the cell divided by its number of atoms.

    The defaults leave room on both sides of what is known: the tightest solids at ambient pressure are diamond (5.7
    Å³) and hydrogen-rich hydrides, the loosest ones open frameworks and caesium (115 Å³).

    Args:
        low: Smallest allowed value, Å³.
        high: Largest allowed value, Å³.
    """

    name: ClassVar[str] = "volume_per_atom"
    _quantity: ClassVar[str] = "volume per atom"
    _unit: ClassVar[str] = "Å³"

    low: float = 3.0
    high: float = 300.0

    @staticmethod
    def _value(structure: Structure) -> float:
        return _volume(structure) / len(structure)

    @staticmethod
    def _values(batch: Batch) -> torch.Tensor:
        atoms = batch.batch.bincount(minlength=batch.num_graphs)
        volumes: torch.Tensor = batch.cell.det().abs() / atoms
        return volumes


@CONSTRAINTS.register("density")
@dataclass(frozen=True)
class Density(_Window):
    """Mass of the cell divided by its volume.

    Solid hydrogen (0.09 g/cm³) and osmium (22.6 g/cm³) bound what is known at ambient pressure.

    Args:
        low: Smallest allowed value, g/cm³.
        high: Largest allowed value, g/cm³.
    """

    name: ClassVar[str] = "density"
    _quantity: ClassVar[str] = "density"
    _unit: ClassVar[str] = "g/cm³"

    low: float = 0.05
    high: float = 25.0

    @staticmethod
    def _value(structure: Structure) -> float:
        mass = atomic_mass()[list(structure.atomic_numbers)].sum()
        return float(GRAMS_PER_CM3 * mass / max(_volume(structure), _TINY))

    @staticmethod
    def _values(batch: Batch) -> torch.Tensor:
        masses = batch.cell.new_tensor(atomic_mass())[batch.numbers]
        mass = batch.cell.new_zeros(batch.num_graphs).index_add(0, batch.batch, masses)
        densities: torch.Tensor = GRAMS_PER_CM3 * mass / batch.cell.det().abs().clamp_min(_TINY)
        return densities


def _volume(structure: Structure) -> float:
    return float(abs(np.linalg.det(structure.lattice.matrix)))
