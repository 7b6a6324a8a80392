"""Whether what is asked for can be met together, told before any sampling starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING

from pymatgen.core import Lattice, Structure

from matgen.constraints.allowed_elements import AllowedElements, NumberOfElements, RequiredElements
from matgen.constraints.alloys import SizeMismatch
from matgen.constraints.charge_neutrality import ChargeNeutral
from matgen.constraints.composition import AnonymousFormula, ChemicalSystem, Formula, NumberOfAtoms
from matgen.constraints.element_limits import CrustalAbundance, SupplyRisk
from matgen.constraints.expression import Expression
from matgen.constraints.molecule import MoleculeConstraint
from matgen.constraints.packing import Density, VolumePerAtom
from matgen.constraints.pauling_order import PaulingOrder
from matgen.constraints.perovskite import Perovskite
from matgen.constraints.symmetry import SpaceGroup, SymmetryWish
from matgen.data.symmetry import symbol
from matgen.elements import N_NUMBERS, metallic_radius, numbers
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request


MULTIPLES = 8
"""Formula units in a cell that are tried with rules on the number of atoms."""

LARGEST = 20
"""Atoms of the largest cell that is looked at for a composition; charges of any few elements balance in fewer."""

SEARCHED = 3000
"""Partial compositions that are looked at before wishes count as possible."""


def require_compatible(
    constraints: Sequence[Constraint], request: Request | None = None, *, largest: int | None = None
) -> None:
    """Refuse constraints that no composition meets together.

    The tests are exact on sets of elements, on numbers of elements and of atoms, on space groups, on windows of one
    quantity, and, where a formula is asked for, on everything that its composition decides. Then a composition is
    looked for that all masks allow, in cells of up to :data:`LARGEST` atoms. Where larger ones are possible, that is
    only done if neutrality or Pauling's order takes part, and without ``expression``. What a longer search would have
    to tell is let through.

    Args:
        constraints: What must hold.
        request: What is asked of the generator besides.
        largest: Atoms of the generator's largest cell, where it has one.

    Raises:
        ConfigError: They conflict. The smallest set found by leaving out one after the other is named: without any
            one of its members it could be met.
    """
    wishes = [*_of_request(request), *((constraint.name, constraint) for constraint in constraints)]
    if _Wishes([wish for _, wish in wishes], largest).conflict is None:
        return
    kept = list(wishes)
    for wish in wishes:
        fewer = [other for other in kept if other is not wish]
        if _Wishes([constraint for _, constraint in fewer], largest).conflict is not None:
            kept = fewer
    conflict = _Wishes([constraint for _, constraint in kept], largest).conflict
    raise ConfigError(
        f"{' and '.join(label for label, _ in kept)} cannot be met{' together' if len(kept) > 1 else ''}: {conflict}.",
        where="constraints",
        fix="Loosen or leave out one of them." if len(kept) > 1 else "Loosen it.",
    )


def _of_request(request: Request | None) -> list[tuple[str, Constraint]]:
    """The fields of a request that constraints can express, with the words for them."""
    wishes: list[tuple[str, Constraint]] = []
    if request is None:
        return wishes
    if request.formula is not None:
        wishes.append((f"the formula {request.formula}", Formula(request.formula)))
    if request.chemical_system is not None:
        wishes.append((f"the chemical system {request.chemical_system}", ChemicalSystem(request.chemical_system)))
    if request.n_atoms is not None:
        wishes.append((f"the {request.n_atoms} atoms", NumberOfAtoms(request.n_atoms, request.n_atoms)))
    if request.space_group is not None:
        wishes.append((f"the space group {symbol(request.space_group)}", SpaceGroup((request.space_group,))))
    return wishes


@dataclass(frozen=True)
class _Wishes:
    """Constraints that shall hold together, in cells of at most so many atoms where that is known."""

    constraints: list[Constraint]
    largest: int | None

    @cached_property
    def conflict(self) -> str | None:
        """What stands in the way, or None."""
        tests = (
            self._by_formula,
            self._by_elements,
            self._by_atoms,
            self._by_symmetry,
            self._by_windows,
            self._by_masks,
        )
        return next((found for test in tests if (found := test()) is not None), None)

    def _by_formula(self) -> str | None:
        """A formula decides every constraint that a composition decides: those with a mask."""
        deciding = [c for c in self.constraints if "mask" in c.available() and not isinstance(c, NumberOfAtoms)]
        for formula in (c for c in self.constraints if isinstance(c, Formula)):
            cells = self._cells(formula)
            for constraint in deciding if cells else []:
                reasons = constraint.check(cells).reasons
                if all(reasons):
                    return f"for {cells[0].composition.reduced_formula}, {reasons[0]}"
        return None

    def _cells(self, formula: Formula) -> list[Structure]:
        """Cells of one to :data:`MULTIPLES` formula units, as far as limits on the number of atoms allow."""
        atoms = [element for element, amount in formula.unit.items() for _ in range(amount)]
        limits = [c for c in self.constraints if isinstance(c, NumberOfAtoms)]
        sizes = [k * len(atoms) for k in range(1, MULTIPLES + 1)]
        fitting = [size for size in sizes if all(c.low <= size <= c.high for c in limits)]
        return [
            Structure(Lattice.cubic(10), atoms * (n // len(atoms)), [[i / n, 0, 0] for i in range(n)]) for n in fitting
        ]

    def _by_elements(self) -> str | None:
        if absent := sorted(self._required - self._allowed):
            return f"{' and '.join(absent)} must occur and may not"
        low, high = self._kinds
        if low > high:
            return f"there must be at least {low} different elements and can be at most {high}"
        return None

    def _by_atoms(self) -> str | None:
        limits = [c for c in self.constraints if isinstance(c, NumberOfAtoms)]
        low = max([self._kinds[0], *(c.low for c in limits)])
        if not limits:
            return None
        high = min(c.high for c in limits)
        if low > high:
            return f"there must be at least {low} atoms and can be at most {high}"
        for unit in self._units:
            if high // unit * unit < low:
                wanted = f"{high}" if low == high else f"{low} to {high}"
                return f"no multiple of the {unit} atoms of a formula unit is {wanted}"
        return None

    def _by_symmetry(self) -> str | None:
        left = set(range(1, 231))
        for c in self.constraints:
            if isinstance(c, SymmetryWish):
                left &= c.groups
        return None if left else "no space group is left"

    def _by_windows(self) -> str | None:
        """Windows of one quantity must overlap."""
        windows: dict[str, list[tuple[float, float]]] = {}
        for c in self.constraints:
            if isinstance(c, Density | VolumePerAtom):
                windows.setdefault(c.name, []).append((c.low, c.high))
        for name, ranges in windows.items():
            low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
            if low > high:
                return f"{name} would have to be at least {low:g} and at most {high:g}"
        return None

    def _by_masks(self) -> str | None:
        """A search for one composition that all masks allow; given up where it grows long.

        A formula has been judged by the checks themselves, which a mask may be more careful than.
        """
        if any(isinstance(c, Formula) for c in self.constraints):
            return None
        limits = [c for c in self.constraints if isinstance(c, NumberOfAtoms)]
        low = max([1, *(c.low for c in limits)])
        high = min([self.largest or low + LARGEST, *(c.high for c in limits)])
        # Prices and shares of elements can need larger cells than are searched, so those must be impossible.
        bounded = high <= LARGEST
        masking = [
            c
            for c in self.constraints
            if "mask" in c.available()
            and not isinstance(c, MoleculeConstraint)
            and (bounded or not isinstance(c, Expression))
        ]
        if low > LARGEST or not (bounded or any(isinstance(c, ChargeNeutral | PaulingOrder) for c in masking)):
            return None
        search, high = _Search(masking), min(high, LARGEST)
        if any(search.holds(sorted(numbers()[e] for e in self._required), atoms) for atoms in range(low, high + 1)):
            return None
        return f"no composition of up to {high} atoms keeps them"

    @cached_property
    def _required(self) -> frozenset[str]:
        found = [frozenset(c.required) for c in self.constraints if isinstance(c, RequiredElements)]
        found += [c.elements for c in self.constraints if isinstance(c, ChemicalSystem)]
        return frozenset().union(*found)

    @cached_property
    def _allowed(self) -> frozenset[str]:
        limits = (AllowedElements, SupplyRisk, CrustalAbundance)
        found = [c.allowed for c in self.constraints if isinstance(c, limits)]
        found += [_with_radius() for c in self.constraints if isinstance(c, SizeMismatch) and c.others == "reject"]
        found += [c.elements for c in self.constraints if isinstance(c, ChemicalSystem)]
        return frozenset(numbers()).intersection(*found)

    @cached_property
    def _kinds(self) -> tuple[int, int]:
        """Fewest and most different elements."""
        limits = [c for c in self.constraints if isinstance(c, NumberOfElements)]
        exact = [len(c.unit) for c in self.constraints if isinstance(c, AnonymousFormula | Formula)]
        exact += [3 for c in self.constraints if _is_abx3(c)]
        low = max([1, len(self._required), *(c.low for c in limits), *exact])
        return low, min([len(self._allowed), *(c.high for c in limits), *exact])

    @property
    def _units(self) -> list[int]:
        """Atoms of the formula units asked for."""
        named = [sum(c.unit.values()) for c in self.constraints if isinstance(c, Formula)]
        named += [sum(c.unit) for c in self.constraints if isinstance(c, AnonymousFormula)]
        return named + [5 for c in self.constraints if _is_abx3(c)]


@dataclass
class _Search:
    """Looks for a composition along what the masks leave: first the required elements, then others in rising order.

    Args:
        masking: Constraints with a mask.
        left: Partial compositions that may still be looked at; when they are used up, everything counts as possible.
    """

    masking: list[Constraint]
    left: int = SEARCHED

    def holds(self, required: list[int], atoms: int) -> bool:
        """Whether a cell of so many atoms can hold the required elements."""
        if len(required) > atoms:
            return False
        if len(required) == atoms and required:
            return bool(self._next(required[:-1], atoms)[required[-1]])
        return self._completes(required, 1, atoms)

    def _completes(self, chosen: list[int], lowest: int, atoms: int) -> bool:
        """Whether it can begin with the chosen ones and go on with elements of at least that number."""
        if len(chosen) == atoms or self.left <= 0:
            return True
        self.left -= 1
        following = [z for z in self._next(chosen, atoms).nonzero().ravel().tolist() if z >= lowest]
        return any(self._completes([*chosen, z], z, atoms) for z in following)

    def _next(self, chosen: list[int], atoms: int) -> Tensor:
        """(119,) elements that may follow the chosen ones."""
        import torch

        cell, real = torch.zeros(1, atoms, dtype=torch.long), torch.ones(1, atoms, dtype=torch.bool)
        cell[0, : len(chosen)] = torch.tensor(chosen, dtype=torch.long)
        allowed = torch.ones(N_NUMBERS, dtype=torch.bool)
        for constraint in self.masking:
            allowed &= constraint.mask(cell, real)[0, len(chosen)]
            if not allowed.any():
                break
        return allowed


def _is_abx3(constraint: Constraint) -> bool:
    return isinstance(constraint, Perovskite) and constraint.others == "reject"


def _with_radius() -> frozenset[str]:
    """Elements with a metallic radius."""
    return frozenset(element for element, z in numbers().items() if not isnan(metallic_radius()[z]))
