"""What the bonds of a molecule tell without a model: drug-likeness, logP, polar surface, weight, accessibility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field
from rdkit.Chem import QED, rdMolDescriptors

from matgen.constraints.molecule_quality import log_p, molecular_weight, sa_score
from matgen.data.molecules import parse_smiles, smiles_of
from matgen.errors import ConfigError, DataError, did_you_mean
from matgen.optimize.aims import Aim  # noqa: TC001 - pydantic reads it
from matgen.optimize.rungs.base import RUNGS, Rung, promoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor
    from matgen.optimize.aims import Limit

FROM_BONDS: dict[str, Callable[[Mol], float]] = {
    "synthetic_accessibility": sa_score,
    "qed": QED.qed,
    "logp": log_p,
    "tpsa": rdMolDescriptors.CalcTPSA,
    "molecular_weight": molecular_weight,
}
"""Columns that a molecule's bonds give."""


@RUNGS.register("descriptors")
@dataclass
class Descriptors(Rung):
    """Adds columns of :data:`FROM_BONDS`; what is no molecule is rejected.

    Args:
        properties: Which; those of the objectives and limits by default.
        promote: Share that goes on.
        by: Column by which it is chosen.
    """

    name: ClassVar[str] = "descriptors"

    properties: list[str] | None = None
    promote: Annotated[float, Field(gt=0, le=1)] = 1.0
    by: Aim | None = None

    def climb(
        self, candidates: Candidates, aims: Sequence[Aim], limits: Sequence[Limit], executor: Executor
    ) -> Candidates:
        """Candidates with their values."""
        wanted = self.properties
        if wanted is None:
            wanted = [name for name in dict.fromkeys(p.property for p in (*aims, *limits)) if name in FROM_BONDS]
        unknown = [name for name in wanted if name not in FROM_BONDS]
        if unknown:
            fix = did_you_mean(unknown[0], FROM_BONDS)
            raise ConfigError(f"bonds do not give {unknown[0]!r}.", where="descriptors.properties", fix=fix)
        found = [_molecule(structure) for structure in candidates.structures]
        columns = {
            name: [np.nan if isinstance(m, str) else float(FROM_BONDS[name](m)) for m in found]
            for name in wanted
            if name not in candidates.table
        }
        reasons = [m if isinstance(m, str) else None for m in found]
        made = candidates.with_columns(columns).reject(self.name, reasons)
        return promoted(made, self.promote, self.by, self.name)


def _molecule(structure: Structure) -> Mol | str:
    """The molecule, or the reason why there is none."""
    try:
        return parse_smiles(smiles_of(structure))
    except DataError as error:
        return error.what
