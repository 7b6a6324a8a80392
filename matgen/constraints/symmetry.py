"""Space group and crystal system of a structure, and the wish for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.data.symmetry import SYMPREC, CrystalSystemName, crystal_system, space_group_number, symbol
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure


@CONSTRAINTS.register("space_group")
@dataclass(frozen=True)
class SpaceGroup(Constraint):
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
class CrystalSystem(Constraint):
    """The structure belongs to one of the wanted crystal systems. The score is its space-group number, or 0.

    Args:
        systems: Names, for example ``cubic``.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "crystal_system"

    systems: tuple[CrystalSystemName, ...]
    symprec: float = SYMPREC

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
