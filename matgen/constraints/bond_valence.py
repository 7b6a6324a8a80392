"""Bond-valence sums: how far atoms are from their oxidation states.

Shapes: S systems, A atoms of a system, E pairs within reach, K elements of a composition, M assignments, Z atomic
numbers (0 to 118).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.elements import N_NUMBERS, OxidationTable, oxidation_states, smact_electronegativity, symbols
from matgen.errors import ConfigError
from matgen.features.neighbours import pairs_within, usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

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

        found = []
        for i in range(batch.num_graphs):
            mine = batch.batch == i
            cell, frac, kinds = batch.cell[i], batch.frac[mine], batch.numbers[mine]
            charges = valences(tuple(kinds.tolist()), self.oxidation_states)
            plain = frac.detach().cpu().double().numpy(), cell.detach().cpu().double().numpy()
            if not usable(*plain) or charges is None:
                found.append(self._blank(cell) if usable(*plain) else cell.new_tensor(BLANK))
                continue
            centre, other, image = (torch.as_tensor(x, device=frac.device) for x in pairs_within(*plain, REACH))
            vectors = (frac[other] + image.to(frac) - frac[centre]) @ cell
            sums = _sums(vectors, centre, other, kinds)
            index, _ = _instability(sums, kinds, torch.as_tensor(charges).to(frac))
            found.append((index - self.high).clamp_min(0))
        return torch.stack(found)

    def _blank(self, cell: torch.Tensor) -> torch.Tensor:
        """The penalty of a structure without an index, which no change of the cell lowers."""
        return (BLANK if self.others == "reject" else 0.0) + 0.0 * cell.sum()

    def _judge(self, structure: Structure) -> tuple[float, str | None]:
        import torch

        frac, cell = structure.frac_coords, structure.lattice.matrix
        if not usable(frac, cell):
            return float("inf"), "the cell is degenerate or not finite, so it has no bond valences"
        kinds = torch.tensor(structure.atomic_numbers)
        charges = valences(tuple(kinds.tolist()), self.oxidation_states)
        if charges is None:
            formula = structure.composition.reduced_formula
            return float("nan"), None if self.others == "pass" else f"{formula} has no oxidation states to compare with"
        centre, other, image = pairs_within(frac, cell, REACH)
        vectors = torch.as_tensor((frac[other] + image - frac[centre]) @ cell)
        sums = _sums(vectors, torch.as_tensor(centre), torch.as_tensor(other), kinds)
        index, row = _instability(sums, kinds, torch.as_tensor(charges))
        score = float(index)
        return score, None if score <= self.high else self._why(score, sums, kinds, charges[row])

    def _why(self, score: float, sums: torch.Tensor, kinds: torch.Tensor, charges: np.ndarray) -> str:
        import torch

        charge = torch.as_tensor(charges)
        found = _valence(sums, kinds, charge)
        worst = int((found - charge[kinds].abs()).abs().argmax())
        symbol, wanted, has = symbols()[int(kinds[worst])], float(charge[kinds[worst]]), float(found[worst])
        word = "overbonded" if has > abs(wanted) else "underbonded"
        return (
            f"the global instability index is {score:.2f} valence units, above the highest allowed {self.high:g}: "
            f"worst is {symbol}({wanted:+g}), {word} with a bond-valence sum of {has:.2f}"
        )


def _sums(vectors: torch.Tensor, centre: torch.Tensor, other: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """(A, K) valence that each atom receives from neighbours of each element of the composition, in rising order.

    Args:
        vectors: (E, 3) Å.
        centre: (E,) atom that receives.
        other: (E,) its neighbour.
        kinds: (A,) atomic numbers.
    """
    import torch

    length = torch.tensor(bond_lengths()).to(vectors)[kinds[centre], kinds[other]]
    distance = vectors.square().sum(-1).clamp_min(1e-12).sqrt()  # the root has no gradient at zero
    valence = torch.exp((length - distance) / SOFTNESS)
    present, element = kinds.unique(return_inverse=True)
    return vectors.new_zeros(len(kinds), len(present)).index_put((centre, element[other]), valence, accumulate=True)


def _valence(sums: torch.Tensor, kinds: torch.Tensor, charges: torch.Tensor) -> torch.Tensor:
    """(..., A) bond-valence sums over neighbours whose charge ``charges (..., Z)`` has the other sign."""
    opposite = charges[..., kinds, None] * charges[..., None, kinds.unique()] < 0
    return (sums * opposite).sum(-1)


def _instability(sums: torch.Tensor, kinds: torch.Tensor, charges: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The smallest index of all assignments ``charges (M, Z)``, and which one has it."""
    difference = _valence(sums, kinds, charges) - charges[:, kinds].abs()
    squared = difference.square().mean(-1)
    best = int(squared.argmin())
    return squared[best].clamp_min(1e-12).sqrt(), best


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
    if np.isnan(np.diagonal(bond_lengths())[present]).any():
        return None
    scale = smact_electronegativity()[present]
    rows = []
    for states in product(*(oxidation_states(table)[symbols()[z]] for z in present)):
        charge = np.array(states)
        if len(charge) < 2 or charge @ atoms != 0 or not scale[charge > 0].max() < scale[charge < 0].min():
            continue
        row = np.zeros(N_NUMBERS)
        row[present] = charge
        rows.append(row)
    return np.stack(rows) if rows else None
