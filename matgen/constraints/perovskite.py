"""Whether the ions of an ABX3 compound fit together as a perovskite.

Shapes: K assignments, N compositions, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property, lru_cache
from typing import ClassVar, Literal, get_args

import numpy as np

from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.decided import Decided, Held, fillable, reduced_formula
from matgen.elements import N_NUMBERS, OxidationTable, numbers, oxidation_states, smact_electronegativity, symbols
from matgen.errors import ConfigError
from matgen.features.ionic_radii import ionic_radius

Criterion = Literal["tau", "goldschmidt", "octahedral"]
Window = tuple[float, float]

ROOT = float(np.sqrt(2.0))


@dataclass(frozen=True)
class Ions:
    """K assignments of ions to the sites of ABX3; each field is (K,).

    Args:
        a: Atomic number on A, the larger cation.
        b: On B.
        x: On X.
        charge: Oxidation state n_A.
        r_a: Shannon radius of A in twelvefold coordination, Å.
        r_b: Of B in sixfold coordination, Å.
        r_x: Of X in sixfold coordination, Å.
    """

    a: np.ndarray
    b: np.ndarray
    x: np.ndarray
    charge: np.ndarray
    r_a: np.ndarray
    r_b: np.ndarray
    r_x: np.ndarray

    @property
    def goldschmidt(self) -> np.ndarray:
        """(K,) t = (r_A + r_X) / (√2 (r_B + r_X)) (Goldschmidt, Naturwissenschaften 14, 477, 1926)."""
        return (self.r_a + self.r_x) / (ROOT * (self.r_b + self.r_x))

    @property
    def octahedral(self) -> np.ndarray:
        """(K,) μ = r_B / r_X."""
        return self.r_b / self.r_x

    @property
    def tau(self) -> np.ndarray:
        """(K,) τ = r_X/r_B - n_A (n_A - (r_A/r_B) / ln(r_A/r_B)) (Bartel et al., Sci. Adv. 5, eaav0693, 2019)."""
        ratio = self.r_a / self.r_b
        return self.r_x / self.r_b - self.charge * (self.charge - ratio / np.log(ratio))

    def where(self, kept: np.ndarray) -> Ions:
        """The assignments of a boolean (K,) or of indices."""
        return Ions(*(getattr(self, field.name)[kept] for field in fields(self)))


@CONSTRAINTS.register("perovskite")
@dataclass(frozen=True)
class Perovskite(Decided):
    """An ABX3 compound has ionic radii with which perovskites form.

    Criteria, each on Shannon radii (A twelvefold, B and X sixfold, or the tabulated coordination nearest to that):

    * ``tau``: τ = r_X/r_B - n_A (n_A - (r_A/r_B) / ln(r_A/r_B)) under 4.18 (Bartel et al., Sci. Adv. 5, eaav0693,
      2019, right for 92 % of 576 known ABX3 compounds).
    * ``goldschmidt``: t = (r_A + r_X) / (√2 (r_B + r_X)) within a window (Goldschmidt, 1926).
    * ``octahedral``: μ = r_B / r_X within the window in which spheres of these sizes leave B six neighbours.

    A is the cation that is larger in its coordination, B the other; X is more electronegative than both. Oxidation
    states are any of the table that add up to zero; where several do, one that fits suffices. The score is the
    smallest τ of an assignment, not a number for compounds that are no ABX3 of ions with known radii.

    Args:
        criteria: Which of the three must hold.
        tau: Limit of τ, not allowed itself.
        goldschmidt: Smallest and largest allowed t.
        octahedral: Smallest and largest allowed μ.
        others: Whether compositions that are no such ABX3 pass.
        oxidation_states: smact's table of states.
    """

    name: ClassVar[str] = "perovskite"
    fillers: ClassVar[tuple[str, ...]] = ("O", "Fe")

    criteria: tuple[Criterion, ...] = ("tau",)
    tau: float = 4.18
    goldschmidt: Window = (0.825, 1.059)
    octahedral: Window = (0.414, 0.732)
    others: Literal["pass", "reject"] = "pass"
    oxidation_states: OxidationTable = "icsd24"

    def __post_init__(self) -> None:
        windows = (self.goldschmidt, self.octahedral)
        if not self.criteria or any(not 0 <= low < high for low, high in windows):
            raise ConfigError(
                f"criteria={self.criteria}, goldschmidt={self.goldschmidt}, octahedral={self.octahedral}.",
                where=self.name,
                fix=f"Name some of {', '.join(get_args(Criterion))}, and windows with low < high.",
            )

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(N,) smallest τ."""
        found = [self._assignments(row) for row in counts]
        return np.array([ions.tau.min() if len(ions.a) else np.nan for ions in found])

    def accepts(self, counts: np.ndarray) -> np.ndarray:
        """(N,) whether an assignment fits; compositions without one as ``others`` says."""
        passed = np.full(len(counts), self.others == "pass")
        for i in np.flatnonzero(_is_abx3(counts)):
            ions = self._assignments(counts[i])
            if len(ions.a):
                passed[i] = self._fits(ions).any()
        return passed

    def why(self, counts: np.ndarray) -> str:
        """The numbers of the best assignment, or why there is none."""
        formula = reduced_formula(counts)
        if not _is_abx3(counts[None])[0]:
            return f"{formula} is no ABX3 compound"
        ions = self._assignments(counts)
        if not len(ions.a):
            return f"no charges and ionic radii are known that make {formula} an ABX3 compound of two cations"
        best = ions.where(np.array([ions.tau.argmin()]))
        a, b, x = (symbols()[int(z[0])] for z in (best.a, best.b, best.x))
        sites = f"{a}({best.charge[0]:+.0f}) on A and {b} on B"
        return f"{formula} does not fit as a perovskite with {sites}: {' and '.join(self._broken(best, a, b, x))}"

    def open_elements(self, held: Held, left: int) -> np.ndarray:
        """(Z,) elements after which the cell can become a fitting ABX3, or something else that passes."""
        allowed = _toward(self, held, left)
        return allowed | fillable(self, held, left) if self.others == "pass" else allowed

    def _broken(self, ions: Ions, a: str, b: str, x: str) -> list[str]:
        words = []
        if "tau" in self.criteria and not ions.tau[0] < self.tau:
            words.append(f"Bartel's tau is {ions.tau[0]:.2f}, wanted below {self.tau:g}")
        for name, said in (("goldschmidt", f"Goldschmidt's t of {a}, {b} and {x}"), ("octahedral", f"r_{b}/r_{x}")):
            low, high = getattr(self, name)
            value = float(getattr(ions, name)[0])
            if name in self.criteria and not low <= value <= high:
                words.append(f"{said} is {value:.3f}, wanted {low:g} to {high:g}")
        return words

    def _fits(self, ions: Ions) -> np.ndarray:
        """(K,) whether an assignment keeps all criteria."""
        kept = np.ones(len(ions.a), dtype=bool)
        if "tau" in self.criteria:
            kept &= ions.tau < self.tau
        for name in ("goldschmidt", "octahedral"):
            if name in self.criteria:
                low, high = getattr(self, name)
                value = getattr(ions, name)
                kept &= (low <= value) & (value <= high)
        return kept

    def _assignments(self, counts: np.ndarray) -> Ions:
        """All assignments of a composition (Z,); none where it is no ABX3."""
        known = neutral_ions(self.oxidation_states)
        if not _is_abx3(counts[None])[0]:
            return known.where(np.zeros(0, dtype=int))
        x = int(counts.argmax())
        pair = {int(z) for z in np.flatnonzero(counts)} - {x}
        return known.where(_rows(self.oxidation_states).get((min(pair), max(pair), x), np.zeros(0, dtype=int)))

    @cached_property
    def fitting(self) -> np.ndarray:
        """(K, Z) atoms in the formula units that fit."""
        ions = neutral_ions(self.oxidation_states)
        ions = ions.where(self._fits(ions))
        units = np.unique(np.stack([ions.a, ions.b, ions.x], axis=1), axis=0)
        table = np.zeros((len(units), N_NUMBERS), dtype=np.int16)
        for column, atoms in enumerate((1, 1, 3)):
            table[np.arange(len(units)), units[:, column]] = atoms
        return table


@lru_cache(maxsize=50_000)
def _toward(constraint: Perovskite, held: Held, left: int) -> np.ndarray:
    """(Z,) elements for the next of ``left`` atoms after which a fitting formula unit can be completed."""
    cells, odd = divmod(sum(atoms for _, atoms in held) + left, 5)
    allowed = np.zeros(N_NUMBERS, dtype=bool)
    if odd:
        return allowed
    table = constraint.fitting
    possible = np.ones(len(table), dtype=bool)
    for z, atoms in held:
        possible &= table[:, z] * cells >= atoms
    wanted = cells * table[possible].max(0, initial=0)
    allowed |= wanted > 0
    for z, atoms in held:
        allowed[z] = wanted[z] > atoms
    return allowed


@cache
def neutral_ions(table: OxidationTable) -> Ions:
    """Every charge-balanced assignment of ions with known radii in which X is the most electronegative."""
    scale = smact_electronegativity()
    cations = [
        (numbers()[e], q, ionic_radius(e, q, 12), ionic_radius(e, q, 6), scale[numbers()[e]])
        for e, states in oxidation_states(table).items()
        for q in states
        if q > 0 and (ionic_radius(e, q, 6) or 0.0) > 0  # that of a bare proton is negative
    ]
    z, charge, twelve, six, pauling = (np.array(column, dtype=float) for column in zip(*cations, strict=True))
    found: list[np.ndarray] = []
    for e, states in oxidation_states(table).items():
        for q in (q for q in states if q < 0):
            radius = ionic_radius(e, q, 6)
            x = numbers()[e]
            if radius is None or not scale[x] > 0:
                continue
            balanced = charge[:, None] + charge + 3 * q == 0
            balanced &= (twelve[:, None] > six) & (z[:, None] != z) & (z[:, None] != x)
            balanced &= (z != x) & (pauling[:, None] < scale[x]) & (pauling < scale[x])
            a, b = np.nonzero(balanced)
            full = np.full(len(a), 1.0)
            found.append(np.stack([z[a], z[b], x * full, charge[a], twelve[a], six[b], radius * full]))
    columns = np.concatenate(found, axis=1)
    return Ions(*(columns[i].astype(int) for i in range(3)), *columns[3:])


@cache
def _rows(table: OxidationTable) -> dict[tuple[int, int, int], np.ndarray]:
    """Rows of :func:`neutral_ions` by lower and higher atomic number of the cations, and X."""
    ions = neutral_ions(table)
    keys = np.stack([np.minimum(ions.a, ions.b), np.maximum(ions.a, ions.b), ions.x], axis=1)
    found: dict[tuple[int, int, int], list[int]] = {}
    for row, (low, high, x) in enumerate(keys.tolist()):
        found.setdefault((low, high, x), []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


def _is_abx3(counts: np.ndarray) -> np.ndarray:
    """(N,) whether three elements occur in the ratios 1:1:3."""
    largest = -np.sort(-counts, axis=1)[:, :4]
    first, second, third, fourth = largest.T
    fits: np.ndarray = (fourth == 0) & (third > 0) & (second == third) & (first == 3 * third)
    return fits
