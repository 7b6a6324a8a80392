"""Known structures to measure novelty by: fingerprints that come with matgen, or a data set of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from matgen.data.structures import read_structures, unpack
from matgen.data.symmetry import space_group
from matgen.evaluate.fingerprint import STEP, apart, fingerprint, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.execution import Row

SHIPPED = Path(__file__).parent / "known_structures" / "mp.parquet"

TOLERANCE = 0.045
"""Structures of one formula that differ less count as the same; see the card beside the table for how often that
agrees with pymatgen's matcher."""


@dataclass(frozen=True)
class Known:
    """Known structures by reduced formula.

    Args:
        name: What to call the reference.
        table: One row a structure: ``formula`` (reduced), ``space_group``, ``fingerprint`` in whole steps.
        tolerance: Root mean square difference of fingerprints below which two structures are the same.
    """

    name: str
    table: pd.DataFrame
    tolerance: float = TOLERANCE

    @classmethod
    def of(cls, structures: Sequence[Structure], name: str) -> Known:
        """A reference made of structures."""
        return cls(name, describe(structures))

    def same(self, formula: str, vector: np.ndarray) -> int | None:
        """Row of the closest known structure of this formula that counts as the same, None where there is none."""
        rows = self._by_formula.get(formula, [])
        found = [(apart(vector, np.array(self.table["fingerprint"].iat[row]) * STEP), row) for row in rows]
        distance, row = min(found, default=(np.inf, -1))
        return row if distance < self.tolerance else None

    def nearest(self, formula: str) -> str:
        """What is known that is closest in composition, in words."""
        rows = self._by_formula.get(formula, [])
        if rows:
            groups = sorted({int(self.table["space_group"].iat[row]) for row in rows} - {0})
            return (
                f"{formula} is known in other structures (space group {', '.join(map(str, groups[:4])) or 'unknown'})"
            )
        fractions, formulas = self._compositions
        wanted = _fractions(formula)
        nearest = int(np.abs(fractions - wanted).sum(axis=1).argmin())
        group = int(self.table["space_group"].iat[self._by_formula[formulas[nearest]][0]])
        return f"closest known composition: {formulas[nearest]} (space group {group})"

    @cached_property
    def _by_formula(self) -> dict[str, list[int]]:
        return {str(k): v.tolist() for k, v in self.table.reset_index(drop=True).groupby("formula").indices.items()}

    @cached_property
    def _compositions(self) -> tuple[np.ndarray, list[str]]:
        formulas = sorted(self._by_formula)
        return np.stack([_fractions(f) for f in formulas]), formulas


def describe(structures: Sequence[Structure]) -> pd.DataFrame:
    """Formula, space group (0 where none is found) and fingerprint of structures."""
    return pd.DataFrame(
        {
            "formula": [s.composition.reduced_formula for s in structures],
            "space_group": np.array([space_group(s, symprec=0.1) or 0 for s in structures], dtype=np.uint8),
            "fingerprint": [np.array(stored(fingerprint(s)), dtype=np.uint8) for s in structures],
        }
    )


def describe_rows(items: Sequence[Row]) -> list[Row]:
    """Worker: :func:`describe` for packed structures, in plain values."""
    table = describe(unpack(pd.DataFrame(list(items))))
    return [
        {"formula": f, "space_group": int(g), "fingerprint": v.tolist()}
        for f, g, v in zip(table["formula"], table["space_group"], table["fingerprint"], strict=True)
    ]


@cache
def shipped() -> Known:
    """The known structures of the Materials Project that come with matgen, as fingerprints."""
    return Known("Materials Project (MP-20 and MPTS-52 rows, 27,740 structures)", pd.read_parquet(SHIPPED))


def known_in(source: str | Path) -> Known:
    """The structures of a data set or file as a reference."""
    path = Path(source)
    folded = path / "structures.parquet"
    _, structures = read_structures(folded if folded.exists() else path)
    return Known.of(structures, path.name)


def _fractions(formula: str) -> np.ndarray:
    vector = np.zeros(119, dtype=np.float32)
    composition = Composition(formula)
    for element, amount in composition.items():
        vector[element.Z] = amount / composition.num_atoms
    return vector
