"""Space group and crystal system of a structure, and the wish for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.data.structures import from_batch, to_batch
from matgen.data.symmetrisation import symmetrise
from matgen.data.symmetry import (
    REFINED_SYMPREC,
    SYMPREC,
    CrystalSystemName,
    crystal_system,
    space_group_number,
    symbol,
)
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

    from matgen.features.occupation import Occupation

REACH = (0.01, 0.1, 0.2, 0.5)
"""Å; tolerances within which a projection looks for a wanted symmetry, one after the other."""


@dataclass(frozen=True)
class SymmetryWish(Constraint):
    """A wish for symmetry.

    Projecting a finished crystal moves it onto a wanted symmetry that it nearly has, within 0.5 Å; one that has none
    stays as it is. Generators that know the subspaces of space groups draw one of the wanted groups and an
    occupation that keeps the wish, and project on that subspace after every step instead.
    """

    @property
    def groups(self) -> frozenset[int]:
        """International numbers of the space groups in which the wish can be met."""
        raise NotImplementedError

    def settle(self, occupation: Occupation, rng: np.random.Generator) -> Occupation | None:
        """The occupation, with elements where the wish decides them; None where it cannot be met.

        Args:
            occupation: In one of the groups.
            rng: Chooses among orbits that would do.
        """
        return occupation if occupation.group in self.groups else None

    def project(self, batch: Batch) -> Batch:
        """Crystals that nearly have a wanted symmetry with just that, in the primitive standard cell."""
        before = from_batch(batch)
        after = [self._nearest(structure) for structure in before]
        return batch if all(a is b for a, b in zip(before, after, strict=True)) else to_batch(after)

    def _nearest(self, structure: Structure) -> Structure:
        if space_group_number(structure, REFINED_SYMPREC) in self.groups and self.check([structure]).passed[0]:
            return structure
        for tolerance in REACH:
            made = symmetrise(structure, tolerance)
            if made.space_group in self.groups and self.check([made.structure]).passed[0]:
                return made.structure
        return structure


@CONSTRAINTS.register("space_group")
@dataclass(frozen=True)
class SpaceGroup(SymmetryWish):
    """The structure has one of the wanted space groups. The score is its number, 0 where none could be found.

    Args:
        numbers: International numbers, 1 to 230.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "space_group"

    numbers: tuple[int, ...]
    symprec: float = SYMPREC

    def __post_init__(self) -> None:
        if not self.numbers or not all(1 <= n <= 230 for n in self.numbers) or self.symprec <= 0:
            raise ConfigError(
                f"numbers={self.numbers}, symprec={self.symprec}.",
                where=self.name,
                fix="Give numbers from 1 to 230 and a positive tolerance.",
            )

    @property
    def groups(self) -> frozenset[int]:
        """The wanted ones."""
        return frozenset(self.numbers)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the space group is among the wanted ones."""
        found = [space_group_number(s, self.symprec) or 0 for s in structures]
        wanted = " or ".join(f"{symbol(n)} ({n})" for n in self.numbers)
        return Verdict.of(found, [None if n in self.numbers else f"{self._name(n)}, wanted {wanted}" for n in found])

    def _name(self, number: int) -> str:
        if not number:
            return "no space group could be found"
        return f"the space group is {symbol(number)} ({number}) at {self.symprec:g} Å"


@CONSTRAINTS.register("crystal_system")
@dataclass(frozen=True)
class CrystalSystem(SymmetryWish):
    """The structure belongs to one of the wanted crystal systems. The score is its space-group number, or 0.

    Args:
        systems: Names, for example ``cubic``.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "crystal_system"

    systems: tuple[CrystalSystemName, ...]
    symprec: float = SYMPREC

    @property
    def groups(self) -> frozenset[int]:
        """All of the wanted systems."""
        return frozenset(n for n in range(1, 231) if crystal_system(n) in self.systems)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the crystal system is among the wanted ones."""
        found = [space_group_number(s, self.symprec) or 0 for s in structures]
        return Verdict.of(found, [self._reason(n) for n in found])

    def _reason(self, number: int) -> str | None:
        if not number:
            return "no space group could be found"
        system = crystal_system(number)
        if system in self.systems:
            return None
        return f"the crystal is {system} ({symbol(number)} at {self.symprec:g} Å), wanted {' or '.join(self.systems)}"
