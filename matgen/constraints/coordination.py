"""How many neighbours atoms have.

Shapes: S systems, A atoms of a system, ΣA of all, E ordered pairs, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Role, Verdict
from matgen.constraints.oxidation import Rule, nearest_neutral, reduced_counts
from matgen.elements import number, symbols
from matgen.errors import ConfigError
from matgen.features.neighbourhood import Neighbourhood
from matgen.features.neighbours import OVERLAP, bonding_radii, bonds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

    from matgen.features.neighbourhood import Pairs

BLANK = 1.0
"""Penalty of a cell that is degenerate or not finite, Å."""

ON_THE_LIMIT = 1e-6
"""Å; what a surplus neighbour costs besides its distance from the limit, so that one just on it costs something."""

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

    The score is the share of atoms whose number lies in its range. The penalty, with ``radii``, is the sum of the
    distances, in Å, that the nearest of the others lack to become the neighbours that are missing, and that the
    farthest neighbours lack to be none where there are too many; where atoms overlap, how much. It counts whole
    neighbours like the check, not a smooth number of them, so it is zero exactly where the check passes.

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

    def available(self) -> tuple[Role, ...]:
        """A penalty needs limits of distance, which CrystalNN has not."""
        return self.roles() if self.method == "radii" else ("check",)

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where every atom's number lies in its range."""
        found = [self._judge(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) Å by which missing neighbours are too far and surplus ones too near, or atoms overlap."""
        import torch

        self.require_role("penalty")
        around, kinds = Neighbourhood.of(batch), batch.numbers.cpu().numpy()
        radii, (low, high) = bonding_radii(kinds), self._limits()[:, kinds]
        reach = 2 * self.factor * np.array([r.max(initial=0.0) for r in around.split(radii)])
        pairs, counts = self._neighbours(around, kinds, radii, low, reach)
        summed = radii[pairs.centre] + radii[pairs.other]
        close = pairs.distance < OVERLAP * summed
        crowded = np.bincount(pairs.system[close], minlength=len(reach)) > 0
        # Where atoms overlap, bonds cannot be told; only that counts.
        counts &= ~crowded[pairs.system]
        beyond = pairs.distance - self.factor * summed
        rank = _ranks(pairs.centre, np.where(counts, beyond, np.inf))
        missing = counts & (rank < low[pairs.centre]) & (beyond > 0)
        surplus = counts & (rank >= high[pairs.centre]) & (beyond <= 0)
        judged = np.flatnonzero(close | missing | surplus)
        limit = np.where(close, OVERLAP, self.factor) * summed
        sign, offset = np.where(missing, 1.0, -1.0), np.where(close, 0.0, ON_THE_LIMIT)
        share = np.where(close, 0.5, 1.0)  # both orders of a pair that overlaps
        at, sense, more, part = (torch.as_tensor(x[judged]).to(batch.cell) for x in (limit, sign, offset, share))
        off = part * (more + sense * (pairs[judged].lengths(batch) - at)).clamp_min(0)
        return around.summed(pairs.system[judged], off, BLANK)

    def _limits(self) -> np.ndarray:
        """(2, Z) smallest and largest number of neighbours by atomic number."""
        return np.array([self.windows.get(symbol, (self.low, self.high)) for symbol in symbols()]).T

    def _neighbours(
        self, around: Neighbourhood, kinds: np.ndarray, radii: np.ndarray, low: np.ndarray, reach: np.ndarray
    ) -> tuple[Pairs, np.ndarray]:
        """Pairs, and which of them (E,) can count, among those each atom's ``low (ΣA,)`` nearest ones.

        Args:
            around: The atoms.
            kinds: (ΣA,) atomic numbers.
            radii: (ΣA,) Å.
            low: (ΣA,) least number of neighbours.
            reach: (S,) Å, where to begin.
        """
        atoms, signs = len(kinds), [_signs(tuple(z.tolist())) for z in around.split(kinds)]
        signed = np.array([sign is not None for sign in signs])
        cation = np.concatenate(
            [np.zeros(len(z), dtype=bool) if x is None else x for x, z in zip(signs, around.split(kinds), strict=True)]
        )
        while True:
            pairs = around.within(reach)
            summed = radii[pairs.centre] + radii[pairs.other]
            near = pairs.distance <= self.factor * summed
            opposite = ~signed[pairs.system] | (cation[pairs.centre] != cation[pairs.other])
            every = np.bincount(pairs.centre[near], minlength=atoms)
            # As in the check: neighbours of its own sign alone count, unless they are too few, too.
            alone = (np.bincount(pairs.centre[near & opposite], minlength=atoms) == 0) & (every >= low)
            counts = opposite | alone[pairs.centre]
            short = np.bincount(pairs.centre[counts], minlength=atoms) < low
            crowded = np.bincount(pairs.system[pairs.distance < OVERLAP * summed], minlength=len(reach)) > 0
            wider = around.usable & ~crowded & np.array([few.any() for few in around.split(short)])
            if not wider.any():
                return pairs, counts
            reach = np.where(wider, 1.5 * reach, reach)

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
        sign = _signs(tuple(structure.atomic_numbers))
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


def _ranks(centre: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """(E,) place of each pair among those of its centre, 0 for the nearest.

    Args:
        centre: (E,) atom.
        beyond: (E,) by what they are sorted.
    """
    order = np.lexsort((beyond, centre))
    first = np.searchsorted(centre[order], centre[order])
    ranks = np.empty(len(centre), dtype=int)
    ranks[order] = np.arange(len(centre)) - first
    return ranks


@lru_cache(maxsize=20_000)
def _signs(kinds: tuple[int, ...]) -> np.ndarray | None:
    """(A,) whether each atom is a cation, where the elements have neutral oxidation states of one sign an element."""
    unit = reduced_counts(Counter(symbols()[z] for z in kinds))
    found = nearest_neutral(unit, Rule()) if len(unit) > 1 else None
    if found is None or found[0] != 0:
        return None
    sign: np.ndarray = np.array([min(found[1][symbols()[z]]) > 0 for z in kinds])
    sign.flags.writeable = False
    return sign


def _words(symbol: str, found: int, low: int, high: int, atoms: int) -> str:
    who = f"{symbol} has" if atoms == 1 else f"{atoms} {symbol} have"
    neighbours = "1 neighbour" if found == 1 else f"{found or 'no'} neighbours"
    return f"{who} {neighbours}, wanted {low if low == high else f'{low} to {high}'}"
