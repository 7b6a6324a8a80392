"""Bond-valence sums: how far atoms are from their oxidation states.

Shapes: S systems, A atoms of a system, ΣA of all, E pairs within reach, M assignments, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.elements import N_NUMBERS, OxidationTable, oxidation_states, smact_electronegativity, symbols
from matgen.errors import ConfigError
from matgen.features.neighbourhood import Neighbourhood
from matgen.features.neighbours import pairs_within, usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

    from matgen.features.neighbourhood import Pairs

SOFTNESS = 0.37
"""b in Å, the same for all pairs (Brown and Altermatt, Acta Cryst. B 41, 244, 1985)."""

REACH = 6.0
"""Å; at this distance the longest bonds carry less than 0.001 valence units."""

BLANK = 1.0
"""Penalty of a structure that has no valences and is to be rejected."""


@CONSTRAINTS.register("bond_valence")
@dataclass(frozen=True)
class BondValence(Constraint):
    """The bond-valence sums of all atoms agree with their oxidation states: a small global instability index.

    GII = sqrt(mean_i (V_i - q_i)²), V_i = Σ_j exp((R_ij - d_ij) / b) over neighbours j of the opposite sign within 6
    Å, in valence units (Salinas-Sanchez et al., J. Solid State Chem. 100, 201, 1992), with b = 0.37 Å (Brown and
    Altermatt, Acta Cryst. B 41, 244, 1985) and R_ij from the elements (O'Keeffe and Brese, J. Am. Chem. Soc. 113, 3226,
    1991, as pymatgen carries them). Parameters of elements serve every pair, but less well than fitted ones, with which
    stable crystals stay under 0.2. The default limit allows for that: 95 % of the Materials Project keep it.

    Oxidation states are those that add up to zero in Pauling's order, one an element; where several do, the ones with
    the smallest index count. Elements, alloys, and compounds without such states have no index. The score is
    the index, not a number where there is none. The penalty is what exceeds the limit, in valence units.

    Args:
        high: Largest allowed index, valence units.
        others: Whether structures without an index pass.
        oxidation_states: smact's table of states.
    """

    name: ClassVar[str] = "bond_valence"

    high: float = 1.2
    others: Literal["pass", "reject"] = "pass"
    oxidation_states: OxidationTable = "icsd24"

    def __post_init__(self) -> None:
        if not self.high > 0:
            raise ConfigError(f"high={self.high}.", where=self.name, fix="Give a positive number of valence units.")

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the index is small enough."""
        found = [self._judge(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) ``max(0, GII - high)`` in valence units."""
        import torch

        around, kinds = Neighbourhood.of(batch), batch.numbers.cpu().numpy()
        charges = [valences(tuple(z.tolist()), self.oxidation_states) for z in around.split(kinds)]
        known = around.usable & np.array([rows is not None for rows in charges])
        pairs = around.within(np.where(known, REACH, 0.0))
        state, above = self._states(around, kinds, charges, known, pairs)
        pairs = pairs[above[pairs.system] & (state[pairs.centre] * state[pairs.other] < 0)]
        length = torch.as_tensor(bond_lengths()[kinds[pairs.centre], kinds[pairs.other]]).to(batch.cell)
        valence = torch.exp((length - pairs.lengths(batch)) / SOFTNESS)
        centre = torch.as_tensor(pairs.centre, device=valence.device)
        sums = valence.new_zeros(len(kinds)).index_add(0, centre, valence)
        squared = (sums - torch.as_tensor(np.abs(state)).to(sums)).square()
        mean = squared.new_zeros(len(known)).index_add(0, batch.batch, squared) / batch.ptr.diff()
        excess = mean.clamp_min(1e-12).sqrt() - self.high
        blank = np.where(around.usable & (known | (self.others == "pass")), 0.0, BLANK)
        counts = torch.as_tensor(above, device=excess.device)
        return torch.where(counts, excess.clamp_min(0), torch.as_tensor(blank).to(excess))

    def _states(
        self,
        around: Neighbourhood,
        kinds: np.ndarray,
        charges: Sequence[np.ndarray | None],
        known: np.ndarray,
        pairs: Pairs,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ΣA,) oxidation states with the smallest index, 0 where unknown, and (S,) whether that is too large.

        Args:
            around: The atoms.
            kinds: (ΣA,) atomic numbers.
            charges: Possible assignments of each system.
            known: (S,) which systems have an index.
            pairs: Those within reach.
        """
        state, above = np.zeros(len(kinds)), np.zeros(len(known), dtype=bool)
        received = around.split(_received(pairs.distance, pairs.centre, pairs.other, kinds))
        for i, rows in enumerate(charges):
            if rows is not None and known[i]:
                mine = slice(around.first[i], around.first[i + 1])
                index, best = _instability(received[i], kinds[mine], rows)
                state[mine], above[i] = rows[best, kinds[mine]], index > self.high
        return state, above

    def _judge(self, structure: Structure) -> tuple[float, str | None]:
        frac, cell = structure.frac_coords, structure.lattice.matrix
        if not usable(frac, cell):
            return float("inf"), "the cell is degenerate or not finite, so it has no bond valences"
        kinds = np.array(structure.atomic_numbers)
        charges = valences(tuple(kinds.tolist()), self.oxidation_states)
        if charges is None:
            formula = structure.composition.reduced_formula
            return float("nan"), None if self.others == "pass" else f"{formula} has no oxidation states to compare with"
        centre, other, image = pairs_within(frac, cell, REACH)
        distance = np.linalg.norm((frac[other] + image - frac[centre]) @ cell, axis=1)
        received = _received(distance, centre, other, kinds)
        score, row = _instability(received, kinds, charges)
        return score, None if score <= self.high else self._why(score, received, kinds, charges[row])

    def _why(self, score: float, received: np.ndarray, kinds: np.ndarray, charge: np.ndarray) -> str:
        found = _sums(received, kinds, charge)
        worst = int(np.abs(found - np.abs(charge[kinds])).argmax())
        symbol, wanted, has = symbols()[kinds[worst]], float(charge[kinds[worst]]), float(found[worst])
        word = "overbonded" if has > abs(wanted) else "underbonded"
        return (
            f"the global instability index is {score:.2f} valence units, above the highest allowed {self.high:g}: "
            f"worst is {symbol}({wanted:+g}), {word} with a bond-valence sum of {has:.2f}"
        )


def _received(distance: np.ndarray, centre: np.ndarray, other: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """(A, Z) valence that each atom receives from neighbours of each element.

    Args:
        distance: (E,) Å.
        centre: (E,) atom that receives.
        other: (E,) its neighbour.
        kinds: (A,) atomic numbers.
    """
    valence = np.exp((bond_lengths()[kinds[centre], kinds[other]] - distance) / SOFTNESS)
    place = centre * N_NUMBERS + kinds[other]
    return np.bincount(place, valence, minlength=len(kinds) * N_NUMBERS).reshape(-1, N_NUMBERS)


def _sums(received: np.ndarray, kinds: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """(..., A) bond-valence sums over neighbours whose charge ``charges (..., Z)`` has the other sign."""
    present = np.unique(kinds)
    opposite = charges[..., kinds, None] * charges[..., None, present] < 0
    found: np.ndarray = (received[:, present] * opposite).sum(-1)
    return found


def _instability(received: np.ndarray, kinds: np.ndarray, charges: np.ndarray) -> tuple[float, int]:
    """The smallest index of all assignments ``charges (M, Z)``, and which one has it."""
    difference = _sums(received, kinds, charges) - np.abs(charges[:, kinds])
    squared = (difference**2).mean(-1)
    best = int(squared.argmin())
    return float(np.sqrt(squared[best])), best


@cache
def bond_lengths() -> np.ndarray:
    """(Z, Z) R_ij in Å, the length of a bond of valence 1; NaN where an element has no parameters.

    R_ij = r_i + r_j - r_i r_j (√c_i - √c_j)² / (c_i r_i + c_j r_j) with the sizes r and electronegativities c of
    O'Keeffe and Brese.
    """
    from pymatgen.analysis.bond_valence import BV_PARAMS

    size, pull = np.full(N_NUMBERS, np.nan), np.full(N_NUMBERS, np.nan)
    for element, known in BV_PARAMS.items():
        size[element.Z], pull[element.Z] = known["r"], known["c"]
    weight = pull * size
    shrink = size[:, None] * size * (np.sqrt(pull)[:, None] - np.sqrt(pull)) ** 2 / (weight[:, None] + weight)
    table: np.ndarray = size[:, None] + size - shrink
    table.flags.writeable = False
    return table


@lru_cache(maxsize=20_000)
def valences(kinds: tuple[int, ...], table: OxidationTable) -> np.ndarray | None:
    """(M, Z) neutral assignments of one oxidation state an element, cations less electronegative than anions.

    None where there is none, or an element has no bond-valence parameters.
    """
    present, atoms = np.unique(kinds, return_counts=True)
    scale = smact_electronegativity()[present]
    if np.isnan(np.diagonal(bond_lengths())[present]).any() or np.isnan(scale).any():
        return None
    states = [oxidation_states(table)[symbols()[z]] for z in present]
    found = []
    # Each assignment in order belongs to one cut of the scale: cations up to it, anions above.
    for cut in np.unique(scale)[:-1]:
        sided = [[q for q in known if (q > 0) == (x <= cut)] for known, x in zip(states, scale, strict=True)]
        every = np.stack([x.ravel() for x in np.meshgrid(*sided, indexing="ij")], axis=1)
        found.append(every[every @ atoms == 0])
    charges = np.concatenate([np.zeros((0, len(present))), *found])
    if not len(charges):
        return None
    rows = np.zeros((len(charges), N_NUMBERS))
    rows[:, present] = charges
    rows.flags.writeable = False
    return rows
