"""Exact requests on the composition: formula, anonymous formula, chemical system, number of atoms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Composition

from matgen.constraints.allowed_elements import room_for
from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.choices import indicator, spread, tally
from matgen.elements import N_NUMBERS, number
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure


@CONSTRAINTS.register("formula")
@dataclass(frozen=True)
class Formula(Constraint):
    """The composition is a whole multiple of a formula. The score is 1 where it is, else 0.

    Args:
        formula: For example ``SrTiO3``.
    """

    name: ClassVar[str] = "formula"

    formula: str

    def __post_init__(self) -> None:
        if not self.unit:
            raise ConfigError(f"{self.formula!r} is no formula.", where=self.name)

    @cached_property
    def unit(self) -> dict[str, int]:
        """Atoms of the reduced formula by element."""
        return _whole(self.formula, self.name)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the reduced formulas agree."""
        wanted = Composition(self.unit).reduced_formula
        found = [s.composition.reduced_formula for s in structures]
        reasons = [None if f == wanted else f"the composition is {f}, wanted {wanted}" for f in found]
        return Verdict.of([float(r is None) for r in reasons], reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements of which atoms are still wanting; none where the cell holds no whole multiple."""
        counts, left = tally(numbers, real)
        unit = numbers.new_zeros(N_NUMBERS)
        for symbol, count in self.unit.items():
            unit[number(symbol)] = count
        atoms = counts.sum(1) + left
        wanting = unit * (atoms // unit.sum())[:, None] - counts
        possible = (atoms % unit.sum() == 0) & (wanting >= 0).all(1)
        return spread((wanting > 0) & possible[:, None], numbers, real)


@CONSTRAINTS.register("anonymous_formula")
@dataclass(frozen=True)
class AnonymousFormula(Constraint):
    """The ratios of the composition are those of a prototype, whatever the elements. The score is 1 or 0.

    Args:
        formula: For example ``ABC3`` or ``ABX3``; every letter stands for a different element.
    """

    name: ClassVar[str] = "anonymous_formula"

    formula: str

    def __post_init__(self) -> None:
        if not self.unit:
            raise ConfigError(f"{self.formula!r} is no anonymous formula.", where=self.name, fix="Write it as in ABX3.")

    @cached_property
    def unit(self) -> tuple[int, ...]:
        """Atoms of each kind in the reduced formula, falling."""
        import re
        from math import gcd

        parts = re.findall(r"([A-Z])(\d*)", self.formula)
        letters = [letter for letter, _ in parts]
        if "".join(a + b for a, b in parts) != self.formula or len(set(letters)) != len(letters):
            return ()
        amounts = [int(amount or 1) for _, amount in parts]
        divisor = gcd(*amounts)
        return tuple(sorted((a // divisor for a in amounts), reverse=True)) if divisor else ()

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the ratios agree."""
        found = [s.composition.anonymized_formula for s in structures]
        fits = [_ratios(s.composition) == self.unit for s in structures]
        reasons = [
            None if ok else f"the ratios are {f}, wanted {self.formula}" for ok, f in zip(fits, found, strict=True)
        ]
        return Verdict.of([float(ok) for ok in fits], reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements after which the counts still fit into the ratios."""
        counts, left = tally(numbers, real)
        unit = numbers.new_tensor(self.unit)
        atoms = counts.sum(1) + left
        wanted = unit * (atoms // unit.sum())[:, None]
        one_more = numbers.new_ones(N_NUMBERS).diag()
        grown = counts[:, None] + one_more
        largest = grown.sort(-1, descending=True).values
        fits = (largest[..., : len(unit)] <= wanted[:, None]).all(-1) & (largest[..., len(unit) :] == 0).all(-1)
        return spread(fits & (atoms % unit.sum() == 0)[:, None], numbers, real)


@CONSTRAINTS.register("chemical_system")
@dataclass(frozen=True)
class ChemicalSystem(Constraint):
    """All elements of a chemical system occur and no others. The score counts missing and foreign elements.

    Args:
        system: Symbols joined by hyphens, for example ``Li-P-S``.
    """

    name: ClassVar[str] = "chemical_system"

    system: str

    def __post_init__(self) -> None:
        for symbol in self.elements:
            number(symbol)

    @cached_property
    def elements(self) -> frozenset[str]:
        """Symbols of the system."""
        return frozenset(self.system.split("-"))

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the elements are exactly those of the system."""
        found = [frozenset(s.composition.get_el_amt_dict()) for s in structures]
        return Verdict.of([len(f ^ self.elements) for f in found], [self._reason(f) for f in found])

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements of the system that leave room for the missing ones."""
        counts, left = tally(numbers, real)
        system = indicator(self.elements, numbers)
        return spread(system & room_for(system, counts, left), numbers, real)

    def _reason(self, found: frozenset[str]) -> str | None:
        missing, foreign = sorted(self.elements - found), sorted(found - self.elements)
        parts = [
            f"{', '.join(names)} {word}" for names, word in ((missing, "missing"), (foreign, "not wanted")) if names
        ]
        return f"outside {self.system}: {'; '.join(parts)}" if parts else None


@CONSTRAINTS.register("n_atoms")
@dataclass(frozen=True)
class NumberOfAtoms(Constraint):
    """The number of atoms in the cell lies between two limits, both allowed. The score is that number.

    Args:
        low: Smallest allowed number.
        high: Largest allowed number.
    """

    name: ClassVar[str] = "n_atoms"

    low: int = 1
    high: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise ConfigError(f"low={self.low}, high={self.high}.", where=self.name, fix="Give 1 <= low <= high.")

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the number lies within the limits."""
        wanted = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        found = [len(s) for s in structures]
        reasons = [None if self.low <= n <= self.high else f"{_atoms(n)} in the cell, wanted {wanted}" for n in found]
        return Verdict.of(found, reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True throughout in cells of an allowed number of atoms, at no element in others."""
        atoms = real.sum(1)
        fits = (atoms >= self.low) & (atoms <= self.high)
        return spread(fits[:, None].expand(-1, N_NUMBERS), numbers, real)


def _atoms(n: int) -> str:
    return "1 atom" if n == 1 else f"{n} atoms"


def _whole(formula: str, where: str) -> dict[str, int]:
    try:
        reduced = Composition(formula, strict=True).reduced_composition.get_el_amt_dict()
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{formula!r} is no formula ({error}).", where=where) from error
    if any(abs(amount - round(amount)) > 1e-8 for amount in reduced.values()):
        raise ConfigError(f"{formula!r} has no whole atom counts.", where=where, fix="Multiply it out.")
    return {element: round(amount) for element, amount in reduced.items()}


def _ratios(composition: Composition) -> tuple[int, ...]:
    from matgen.constraints.oxidation import reduced_counts

    return tuple(sorted(reduced_counts(composition.get_el_amt_dict()).values(), reverse=True))
