"""Known structures to measure novelty by: fingerprints that come with matgen, or a data set of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from matgen.data.structures import read_structures, unpack
from matgen.data.symmetry import find_symmetry, symbol
from matgen.elements import mendeleev_number, numbers
from matgen.evaluate.fingerprint import STEP, apart, fingerprint, shape, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.execution import Row

SHIPPED = Path(__file__).parent / "known_structures" / "mp.parquet"

TOLERANCE = 0.055
"""Structures of one formula and one size of the primitive cell that differ less count as the same; see the card
beside the table for how often that agrees with pymatgen's matcher."""

DISTORTED = 0.025
"""Where the primitive cells differ in size, one structure may be a superstructure of the other, such as a perovskite
with slightly tilted octahedra. Pymatgen's matcher calls them different however small the distortion; here they are the
same below this difference, so that the undistorted parent of a known phase is not called new."""

BEYOND = 0.25
"""Structures that differ more are never matched by pymatgen's matcher with its default tolerances: the largest
difference among 2,995 matching pairs was 0.20."""

COLUMNS = ("formula", "anonymous", "space_group", "n_primitive", "fingerprint", "shape")


@dataclass(frozen=True)
class Known:
    """Known structures by reduced formula.

    Args:
        name: What to call the reference.
        table: One row a structure: ``formula`` (reduced), ``anonymous``, ``space_group`` (0 where none is found),
            ``n_primitive``, and ``fingerprint`` and ``shape`` in whole steps.
        structures: The structures themselves, row by row, or none. With them, pymatgen's matcher decides what is the
            same; without, the fingerprints do.
        tolerance: Difference of fingerprints below which two structures are the same.
    """

    name: str
    table: pd.DataFrame
    structures: Sequence[Structure] = field(default=(), repr=False)
    tolerance: float = TOLERANCE

    @classmethod
    def of(cls, structures: Sequence[Structure], name: str) -> Known:
        """A reference made of structures."""
        return cls(name, describe(structures), structures)

    def candidates(self, seen: Row) -> list[int]:
        """Rows that may be the same structure, nearest first: to be confirmed by the matcher if there are structures.

        Args:
            seen: What :func:`describe_rows` says of a structure.
        """
        mine = np.asarray(seen["fingerprint"]) * STEP
        rows = self._by_formula.get(seen["formula"], [])
        near = sorted((apart(mine, np.asarray(self.table["fingerprint"].iat[row]) * STEP), row) for row in rows)
        if self.structures:
            return [row for difference, row in near if difference < BEYOND]
        return [row for difference, row in near if difference < self._allowed(row, seen)]

    def nearest(self, seen: Row) -> str:
        """What is known that comes closest, in words: the formula, else the structure, else the composition.

        Args:
            seen: What :func:`describe_rows` says of a structure.
        """
        formula = seen["formula"]
        rows = self._by_formula.get(formula, [])
        if rows:
            groups = sorted({int(self.table["space_group"].iat[row]) for row in rows} - {0})
            names = ", ".join(symbol(group) for group in groups[:4]) or "space group unknown"
            return f"{formula} is known in other structures ({names})"
        row = self._isostructural(seen)
        if row is not None:
            return f"isostructural with {self.label(row)}"
        fractions, formulas = self._compositions
        wanted = _fractions(formula)
        present = np.flatnonzero(wanted)
        # Fractions sum to one, so the smallest summed difference is the largest overlap.
        nearest = int(np.minimum(fractions[:, present], wanted[present]).sum(axis=1).argmax())
        return f"closest known composition: {self.label(self._by_formula[formulas[nearest]][0])}"

    def is_of_size(self, row: int, seen: Row) -> bool:
        """Whether a known structure has as many atoms in its primitive cell."""
        return bool(self.table["n_primitive"].iat[row] == seen["n_primitive"])

    def label(self, row: int) -> str:
        """Formula and space group of a known structure."""
        group = int(self.table["space_group"].iat[row])
        return f"{self.table['formula'].iat[row]} ({symbol(group) if group else 'space group unknown'})"

    def _allowed(self, row: int, seen: Row) -> float:
        return self.tolerance if self.is_of_size(row, seen) else min(DISTORTED, self.tolerance)

    def _isostructural(self, seen: Row) -> int | None:
        """The chemically most similar compound with these ratios, this space group and this arrangement of atoms."""
        if not seen["space_group"]:
            return None
        mine = np.asarray(seen["shape"]) * STEP
        rows = self._by_kind.get((seen["anonymous"], seen["space_group"]), [])
        rows = [r for r in rows if apart(mine, np.asarray(self.table["shape"].iat[r]) * STEP) < self.tolerance]
        return min(rows, key=lambda r: dissimilarity(seen["formula"], self.table["formula"].iat[r]), default=None)

    @cached_property
    def _by_formula(self) -> dict[str, list[int]]:
        return {str(k): v.tolist() for k, v in self.table.reset_index(drop=True).groupby("formula").indices.items()}

    @cached_property
    def _by_kind(self) -> dict[Any, list[int]]:
        kinds = self.table.reset_index(drop=True).groupby(["anonymous", "space_group"]).indices
        return {kind: rows.tolist() for kind, rows in kinds.items()}

    @cached_property
    def _compositions(self) -> tuple[np.ndarray, list[str]]:
        formulas = sorted(self._by_formula)
        return np.stack([_fractions(f) for f in formulas]), formulas


def describe(structures: Sequence[Structure]) -> pd.DataFrame:
    """One row of :data:`COLUMNS` for each structure."""
    return pd.DataFrame([_describe(structure) for structure in structures], columns=list(COLUMNS))


def describe_rows(items: Sequence[Row]) -> list[Row]:
    """Worker: :func:`describe` for packed structures, in plain values."""
    return [_describe(structure) for structure in unpack(pd.DataFrame(list(items)))]


@cache
def shipped() -> Known:
    """The known structures of the Materials Project that come with matgen, as fingerprints."""
    table = pd.read_parquet(SHIPPED)
    return Known(f"Materials Project (MP-20 and MPTS-52 rows, {len(table):,} structures)", table)


def known_in(source: str | Path) -> Known:
    """The structures of a data set or file as a reference."""
    path = Path(source)
    folded = path / "structures.parquet"
    _, structures = read_structures(folded if folded.exists() else path)
    return Known.of(structures, path.name)


def _describe(structure: Structure) -> dict[str, Any]:
    symmetry, composition = find_symmetry(structure), structure.composition
    return {
        "formula": composition.reduced_formula,
        "anonymous": composition.anonymized_formula,
        "space_group": symmetry.space_group if symmetry else 0,
        "n_primitive": symmetry.n_primitive if symmetry else len(structure),
        "fingerprint": stored(fingerprint(structure)).tolist(),
        "shape": stored(shape(structure)).tolist(),
    }


def counterparts(one: str, other: str) -> list[tuple[str, str]]:
    """Elements of two formulas with the same ratios, paired by amount, and by Mendeleev number where amounts tie."""
    order = mendeleev_number()
    amounts = [Composition(formula).get_el_amt_dict() for formula in (one, other)]
    ranked = [sorted(found, key=lambda e: (found[e], order[numbers()[e]])) for found in amounts]
    return list(zip(*ranked, strict=True))


def dissimilarity(one: str, other: str) -> float:
    """Mean difference between the Mendeleev numbers of :func:`counterparts`."""
    order = np.nan_to_num(mendeleev_number())
    return float(np.mean([abs(order[numbers()[a]] - order[numbers()[b]]) for a, b in counterparts(one, other)]))


def _fractions(formula: str) -> np.ndarray:
    vector = np.zeros(119, dtype=np.float32)
    composition = Composition(formula)
    for element, amount in composition.items():
        vector[element.Z] = amount / composition.num_atoms
    return vector
