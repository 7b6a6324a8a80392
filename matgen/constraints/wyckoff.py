"""Which Wyckoff positions the elements occupy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from matgen.constraints.base import CONSTRAINTS, Verdict
from matgen.constraints.symmetry import SymmetryWish
from matgen.data.symmetry import SYMPREC, occupied_positions, symbol
from matgen.elements import number
from matgen.errors import ConfigError
from matgen.features.occupation import Occupation
from matgen.features.wyckoff import positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from pymatgen.core import Structure

_ENTRY = re.compile(r"([A-Z][a-z]?|\*)\s+([A-Za-z]+)")


@CONSTRAINTS.register("wyckoff")
@dataclass(frozen=True)
class WyckoffPositions(SymmetryWish):
    """Elements occupy wanted Wyckoff positions, in the standard setting of International Tables A.

    An entry names an element, or ``*`` for any, and letters: ``required: ["Ti b"]`` wants titanium on b, among
    others, ``allowed: ["O cd"]`` wants oxygen nowhere but on c and d. Letters are those that moyo finds for the crystal
    as it stands: positions that differ by the choice of origin only (a and b of Pm-3m) go by either letter, so name
    both where either would do. The score is the number of entries that are not kept.

    Args:
        required: Every one of the named positions is occupied by the element.
        allowed: The element occupies no other positions.
        space_group: International number that the letters belong to; None for any.
        symprec: Tolerance in Å.
    """

    name: ClassVar[str] = "wyckoff"

    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    space_group: int | None = None
    symprec: float = SYMPREC

    def __post_init__(self) -> None:
        if not (self.rules or self.space_group) or not 1 <= (self.space_group or 1) <= 230 or self.symprec <= 0:
            raise ConfigError(
                f"required={self.required}, allowed={self.allowed}, space_group={self.space_group}.",
                where=self.name,
                fix="Give entries such as 'Ti b', a space group from 1 to 230, and a positive tolerance.",
            )

    @cached_property
    def rules(self) -> tuple[tuple[str, str, bool], ...]:
        """Element, letters, and whether all of them are required, of each entry."""
        found = []
        for text, required in [*((e, True) for e in self.required), *((e, False) for e in self.allowed)]:
            match = _ENTRY.fullmatch(text.strip())
            if match is None:
                raise ConfigError(f"{text!r} names no positions.", where=self.name, fix="Write it as in 'Ti ab'.")
            if match[1] != "*":
                number(match[1])
            found.append((match[1], match[2], required))
        return tuple(found)

    @cached_property
    def groups(self) -> frozenset[int]:
        """Groups that have the required positions."""
        named = {letter for _, letters, required in self.rules if required for letter in letters}
        fitting = range(1, 231) if self.space_group is None else (self.space_group,)
        return frozenset(n for n in fitting if named <= {at.letter for at in positions(n)})

    def settle(self, occupation: Occupation, rng: np.random.Generator) -> Occupation | None:
        """The occupation with a required element on a kind of orbits that is still open and has its positions."""
        held: dict[int, set[str]] = {}
        for kind, letter in occupation.orbits:
            held.setdefault(kind, set()).add(letter)
        if occupation.group not in self.groups or not self._open_to_any(set().union(*held.values())):
            return None
        chosen: dict[int, int] = {}
        for element, wanted in self._required.items():
            fitting = [k for k in held if k == element or (k < 0 and k not in chosen and element not in held)]
            fitting = [k for k in fitting if wanted <= held[k] <= self._allowed.get(element, held[k])]
            if not fitting:
                return None
            chosen[fitting[int(rng.integers(len(fitting)))]] = element
        if any(not held[k] <= letters for k, letters in self._allowed.items() if k in held):
            return None
        return Occupation(occupation.group, tuple((chosen.get(k, k), letter) for k, letter in occupation.orbits))

    @cached_property
    def _required(self) -> dict[int, set[str]]:
        """Letters that each named element must occupy."""
        found: dict[int, set[str]] = {}
        for element, letters, required in self.rules:
            if required and element != "*":
                found.setdefault(number(element), set()).update(letters)
        return found

    @cached_property
    def _allowed(self) -> dict[int, set[str]]:
        """Letters that each named element may occupy."""
        found: dict[int, set[str]] = {}
        for element, letters, required in self.rules:
            if not required and element != "*":
                z = number(element)
                found[z] = set(letters) & found.get(z, set(letters))
        return found

    def _open_to_any(self, occupied: set[str]) -> bool:
        """Whether letters keep the entries that name no element."""
        return all(
            set(letters) <= occupied if required else occupied <= set(letters)
            for element, letters, required in self.rules
            if element == "*"
        )

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every entry is kept."""
        found = [self._broken(structure) for structure in structures]
        return Verdict.of([len(broken) for broken in found], ["; ".join(broken) or None for broken in found])

    def _broken(self, structure: Structure) -> list[str]:
        found = occupied_positions(structure, self.symprec)
        if found is None:
            return ["no space group could be found"]
        group, letters = found
        if self.space_group not in {None, group}:
            wanted = f"{symbol(self.space_group or 1)} ({self.space_group})"
            return [f"the space group is {symbol(group)} ({group}) at {self.symprec:g} Å, wanted {wanted}"]
        place = f"in {symbol(group)} ({group})"
        words = []
        for element, wanted, required in self.rules:
            mine = {at for kind, at in letters if element in {"*", kind}}
            who = "any element" if element == "*" else element
            missing, foreign = sorted(set(wanted) - mine), sorted(mine - set(wanted))
            if required and missing:
                words.append(f"{who} occupies {_list(sorted(mine))} {place}, wanted on {_list(sorted(wanted))}")
            if not required and foreign:
                words.append(f"{who} occupies {_list(foreign)} {place}, allowed are {_list(sorted(wanted))}")
        return words


def _list(letters: list[str]) -> str:
    return ", ".join(letters) or "no position"
