"""How many neighbours atoms have."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.constraints.oxidation import Rule, nearest_neutral, reduced_counts
from matgen.elements import number
from matgen.errors import ConfigError
from matgen.features.neighbours import bonds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

_RANGE = re.compile(r"([A-Z][a-z]?)\s*[: ]?\s*(\d+)(?:\s*-\s*(\d+))?")


@CONSTRAINTS.register("coordination")
@dataclass(frozen=True)
class Coordination(Constraint):
    """The coordination number of every atom lies in a range, by element where one is given.

    By ``radii``, atoms closer than ``factor`` times the sum of their covalent radii (Cordero et al., Dalton Trans.
    2008, 2832) are neighbours; in compounds with neutral oxidation states (as ``charge_neutral`` finds them) only
    cations and anions are, so that titanium is sixfold coordinated in SrTiO3, unless an atom has neighbours of its own
    sign alone. By ``crystal_nn``, neighbours are those of CrystalNN (Pan et al., Inorg. Chem. 60, 1590, 2021, as
    pymatgen has it), which is much slower.

    The score is the share of atoms whose number lies in its range.

    Args:
        ranges: For example ``["Ti 4-6", "O 2-6", "Si 4"]``.
        low: Smallest allowed number of elements without a range.
        high: Largest allowed number of those.
        method: ``radii`` or ``crystal_nn``.
        factor: Of the sum of radii.
    """

    name: ClassVar[str] = "coordination"

    ranges: tuple[str, ...] = ()
    low: int = 1
    high: int = 26
    method: Literal["radii", "crystal_nn"] = "radii"
    factor: float = 1.3

    def __post_init__(self) -> None:
        windows = [(self.low, self.high), *self.windows.values()]
        if any(low > high for low, high in windows) or not 0.5 < self.factor <= 2:
            raise ConfigError(
                f"ranges={self.ranges}, low={self.low}, high={self.high}, factor={self.factor}.",
                where=self.name,
                fix="Give low <= high everywhere and 0.5 < factor <= 2.",
            )

    @cached_property
    def windows(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest number by element."""
        found = {}
        for text in self.ranges:
            match = _RANGE.fullmatch(text.strip())
            if match is None:
                raise ConfigError(f"{text!r} is no range.", where=f"{self.name}.ranges", fix="Write it as in 'Ti 4-6'.")
            number(match[1])
            found[match[1]] = (int(match[2]), int(match[3] or match[2]))
        return found

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every atom's number lies in its range."""
        found = [self._judge(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def _judge(self, structure: Structure) -> tuple[float, str | None]:
        counted = self._by_crystal_nn(structure) if self.method == "crystal_nn" else self._by_radii(structure)
        if counted is None:
            return 0.0, "atoms overlap or the cell is degenerate, so neighbours cannot be told"
        symbols = [str(site.specie.symbol) for site in structure]
        windows = [self.windows.get(symbol, (self.low, self.high)) for symbol in symbols]
        broken = Counter(
            (symbol, int(n), low, high)
            for symbol, n, (low, high) in zip(symbols, counted, windows, strict=True)
            if not low <= n <= high
        )
        reasons = [_words(*entry, atoms) for entry, atoms in sorted(broken.items())]
        return 1 - broken.total() / len(structure), "; ".join(reasons) or None

    def _by_radii(self, structure: Structure) -> np.ndarray | None:
        """(A,) coordination numbers by distance and sign of the charge."""
        found = bonds(structure, self.factor)
        if found is None:
            return None
        centre, other, _ = found
        sign = _signs(structure)
        every = np.bincount(centre, minlength=len(structure))
        if sign is None:
            return every
        opposite = np.bincount(centre[sign[centre] != sign[other]], minlength=len(structure))
        return np.where(opposite > 0, opposite, every)

    def _by_crystal_nn(self, structure: Structure) -> np.ndarray | None:
        """(A,) coordination numbers by CrystalNN; None where it finds no Voronoi cell."""
        from pymatgen.analysis.local_env import CrystalNN

        if bonds(structure) is None:
            return None
        try:
            info = CrystalNN().get_all_nn_info(structure)
        except (ValueError, RuntimeError):  # its words for a tessellation that does not close
            return None
        return np.array([len(neighbours) for neighbours in info])


def _signs(structure: Structure) -> np.ndarray | None:
    """(A,) whether each atom is a cation, where the composition has neutral oxidation states of one sign an element."""
    unit = reduced_counts(structure.composition.get_el_amt_dict())
    found = nearest_neutral(unit, Rule()) if len(unit) > 1 else None
    if found is None or found[0] != 0:
        return None
    return np.array([min(found[1][str(site.specie.symbol)]) > 0 for site in structure])


def _words(symbol: str, found: int, low: int, high: int, atoms: int) -> str:
    who = f"{symbol} has" if atoms == 1 else f"{atoms} {symbol} have"
    neighbours = "1 neighbour" if found == 1 else f"{found or 'no'} neighbours"
    return f"{who} {neighbours}, wanted {low if low == high else f'{low} to {high}'}"
