"""Which elements may, and which must, occur."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.choices import indicator, spread, tally
from matgen.elements import expand, groups, number, numbers
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure


@CONSTRAINTS.register("elements")
@dataclass(frozen=True)
class AllowedElements(Constraint):
    """Only allowed elements occur. By default toxic, radioactive and rare ones are excluded.

    * toxic: As, Be, Cd, Hg, Pb, Tl (RoHS directive 2011/65/EU; WHO's chemicals of major public health concern; IARC
      Monograph 100C for Be; Regulation (EC) 1272/2008 for Tl).
    * radioactive: every element without a stable isotope, as pymatgen states: Tc, Pm and, from Po on, all.
    * rare: the precious metals Ru, Rh, Pd, Ag, Os, Ir, Pt, Au, and elements under 0.006 mg per kg of the Earth's crust
      (smact's table, from the CRC Handbook): Re, Te, Ne, Kr, Xe.

    An entry of any list is a symbol or the name of a group in :func:`matgen.elements.groups`. The score is the number
    of atoms of excluded elements.

    Args:
        exclude: Groups left out; give an empty list for none.
        forbidden: Further symbols or groups left out.
        allow: Exceptions from ``exclude``.
        only: If given, nothing else may occur; ``exclude`` then does not apply, ``forbidden`` does.
    """

    name: ClassVar[str] = "elements"

    exclude: tuple[str, ...] = ("toxic", "radioactive", "rare")
    forbidden: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.allowed:
            raise ConfigError("no element is left.", where=self.name, fix="Shorten 'forbidden' or lengthen 'only'.")

    @cached_property
    def allowed(self) -> frozenset[str]:
        """Symbols that may occur."""
        start = expand(self.only) if self.only else frozenset(numbers()) - (expand(self.exclude) - expand(self.allow))
        return start - expand(self.forbidden)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every element is allowed."""
        amounts = [s.composition.get_el_amt_dict() for s in structures]
        scores = [sum(n for element, n in found.items() if element not in self.allowed) for found in amounts]
        return Verdict.of(scores, [self._reason(found) for found in amounts])

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at allowed elements."""
        allowed = indicator(self.allowed, numbers).expand(len(numbers), -1)
        return spread(allowed, numbers, real)

    def _reason(self, amounts: dict[str, float]) -> str | None:
        found = [self._why(element) for element in sorted(amounts) if element not in self.allowed]
        return "; ".join(found) or None

    def _why(self, element: str) -> str:
        if element in expand(self.forbidden):
            return f"{element} is forbidden"
        if self.only:
            return f"{element} is not among the wanted elements"
        kinds = [name for name in self.exclude if name != element and element in groups().get(name, ())]
        return f"{element} is {' and '.join(kinds)}" if kinds else f"{element} is excluded"


@CONSTRAINTS.register("required_elements")
@dataclass(frozen=True)
class RequiredElements(Constraint):
    """Every required element occurs. The score is the number of required elements that are missing.

    Args:
        required: Chemical symbols.
    """

    name: ClassVar[str] = "required_elements"

    required: tuple[str, ...]

    def __post_init__(self) -> None:
        for symbol in self.required:
            number(symbol)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where none is missing."""
        missing = [[e for e in self.required if e not in s.composition] for s in structures]
        reasons = [f"{' and '.join(m)} {'are' if len(m) > 1 else 'is'} missing" if m else None for m in missing]
        return Verdict.of([len(m) for m in missing], reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements that leave room for all that are still missing."""
        counts, left = tally(numbers, real)
        return spread(room_for(indicator(self.required, numbers), counts, left), numbers, real)


@CONSTRAINTS.register("n_elements")
@dataclass(frozen=True)
class NumberOfElements(Constraint):
    """The number of different elements lies between two limits, both allowed. The score is that number.

    Args:
        low: Smallest allowed number.
        high: Largest allowed number.
    """

    name: ClassVar[str] = "n_elements"

    low: int = 1
    high: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise ConfigError(f"low={self.low}, high={self.high}.", where=self.name, fix="Give 1 <= low <= high.")

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the number lies within the limits."""
        found = [len(s.composition.elements) for s in structures]
        wanted = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        reasons = [None if self.low <= n <= self.high else f"{n} different elements, wanted {wanted}" for n in found]
        return Verdict.of(found, reasons)

    def mask(self, numbers: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """(S, A, Z) True at elements after which the limits can still be met."""
        counts, left = tally(numbers, real)
        present = counts > 0
        different = present.sum(1)
        repeat = (different + left - 1 >= self.low) & (different <= self.high)
        fresh = (different + left >= self.low) & (different + 1 <= self.high)
        return spread(repeat[:, None].where(present, fresh[:, None]), numbers, real)


def room_for(required: torch.Tensor, counts: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """(S, Z) elements for the next atom after which every required one can still be placed.

    Args:
        required: (Z,) True at required elements.
        counts: (S, Z) determined atoms by element.
        left: (S,) undetermined atoms.
    """
    missing = required & (counts == 0)
    spare = left - missing.sum(1)
    return (spare >= 0)[:, None].where(missing, (spare >= 1)[:, None])
