"""Exact symmetry for crystals that nearly have it, within a stated tolerance, and how far atoms move for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import moyopy
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from matgen.data.symmetry import REFINED_SYMPREC, SYMPREC, find_symmetry
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from matgen.data.candidates import Candidates

COLUMNS = ("symmetrise_tolerance", "symmetrise_displacement", "symmetrise_space_group")


@dataclass(frozen=True)
class Symmetrised:
    """A crystal with exact symmetry.

    Args:
        structure: In the primitive standard cell; the crystal as it was where no symmetry was found.
        space_group: International number, found anew at 0.01 Å; 0 where none could be.
        displacement: Largest distance in Å that an atom moved, cells superposed; 0 where nothing was done.
    """

    structure: Structure
    space_group: int
    displacement: float


def symmetrise(structure: Structure, tolerance: float = SYMPREC) -> Symmetrised:
    """Move atoms and cell onto the symmetry that is found within a tolerance.

    moyo averages positions and metric over the operations that it finds. The result is in the primitive cell of the
    group's standard setting. Where the symmetry does not hold at 0.01 Å afterwards, the crystal is left as it was.

    Args:
        structure: An ordered crystal.
        tolerance: Å, within which operations count.
    """
    if not 0 < tolerance <= 1:
        raise ConfigError(
            f"the tolerance is {tolerance} Å.", where="symmetrise", fix="Give more than 0 and at most 1 Å."
        )
    before = find_symmetry(structure, tolerance) if all(structure.lattice.pbc) else None
    if before is None or before.space_group == 1:
        return Symmetrised(structure, before.space_group if before else 0, 0.0)
    content = moyopy.Cell(
        structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers)
    )
    ideal = moyopy.MoyoDataset(content, symprec=tolerance).prim_std_cell
    made = Structure(Lattice(ideal.basis), [Element.from_Z(z) for z in ideal.numbers], ideal.positions)
    after = find_symmetry(made, REFINED_SYMPREC)
    moved = _displacement(structure, made)
    if after is None or after.space_group != before.space_group or moved is None:
        found = find_symmetry(structure, REFINED_SYMPREC)
        return Symmetrised(structure, found.space_group if found else 0, 0.0)
    return Symmetrised(made, after.space_group, moved)


def symmetrise_candidates(candidates: Candidates, tolerance: float = SYMPREC) -> Candidates:
    """The same of all candidates; adds the columns :data:`COLUMNS` (the tolerance, Å moved, the group at 0.01 Å)."""
    made = [symmetrise(structure, tolerance) for structure in candidates.structures]
    columns = {
        COLUMNS[0]: [tolerance] * len(made),
        COLUMNS[1]: [one.displacement for one in made],
        COLUMNS[2]: [one.space_group for one in made],
    }
    changed = replace(candidates, structures=[one.structure for one in made])
    if "n_atoms" in changed.table:
        changed = replace(changed, table=changed.table.assign(n_atoms=[len(one.structure) for one in made]))
    return changed.with_columns(columns)


def _displacement(one: Structure, other: Structure) -> float | None:
    """Largest distance in Å between atoms of the superposed primitive cells; None where they do not match."""
    matcher = StructureMatcher(scale=False, ltol=0.3, stol=0.5, angle_tol=10)
    found = matcher.get_rms_dist(one, other)
    return None if found is None else float(found[1]) * math.cbrt(other.volume / len(other))
