"""What all constraints on molecules share: they look at bonds, which a structure carries or its coordinates suggest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.base import Constraint, Verdict
from matgen.data.molecules import to_rdkit
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol


@dataclass(frozen=True)
class MoleculeConstraint(Constraint):
    """A constraint on the bonds of a molecule, without explicit hydrogens.

    What is no molecule fails, with the reason.
    """

    def judge(self, molecule: Mol) -> tuple[float, str | None]:
        """Score of one molecule, and why it fails, or None."""
        raise NotImplementedError

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the molecule satisfies it."""
        found = [self._judged(structure) for structure in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def _judged(self, structure: Structure) -> tuple[float, str | None]:
        try:
            return self.judge(to_rdkit(structure))
        except DataError as error:
            return float(np.nan), error.what.rstrip(".")


def within(name: str, value: float, low: float | None, high: float | None, unit: str = "") -> str | None:
    """A reason where a value lies outside a window whose ends are allowed."""
    unit = f" {unit}" if unit else ""
    if low is not None and value < low:
        return f"{name} {value:.4g}{unit}, at least {low:g} wanted"
    if high is not None and value > high:
        return f"{name} {value:.4g}{unit}, at most {high:g} allowed"
    return None
