"""Whether bonds connect a crystal in three, two, one or no directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.errors import ConfigError
from matgen.features.neighbours import BONDED, bonds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

WORDS = {0: "molecular (0-D)", 1: "of chains (1-D)", 2: "layered (2-D)", 3: "a three-dimensional network (3-D)"}


@CONSTRAINTS.register("dimensionality")
@dataclass(frozen=True)
class Dimensionality(Constraint):
    """The bonded parts of the crystal extend in the wanted number of directions: 2 for layers, 3 for networks.

    Atoms closer than ``factor`` times the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832) are
    bonded. Each bonded part extends in as many directions as its bonds lead to independent lattice vectors, and the
    part of the highest number counts (Larsen et al., Phys. Rev. Mater. 3, 034003, 2019). The score is that number, -1
    where atoms overlap.

    It only checks. The number is one of a whole graph of bonds and jumps between 0 and 3: it is flat wherever no bond
    is on its limit, and which bonds would have to break or form is a choice among many sets, so a penalty that is zero
    exactly where the check passes has no useful gradient. Elements alone do not decide it, so there is no mask.

    Args:
        wanted: Allowed numbers, 0 to 3.
        factor: Of the sum of radii.
    """

    name: ClassVar[str] = "dimensionality"

    wanted: tuple[int, ...]
    factor: float = BONDED

    def __post_init__(self) -> None:
        if not self.wanted or not set(self.wanted) <= set(WORDS) or not 0.5 < self.factor <= 2:
            raise ConfigError(
                f"wanted={self.wanted}, factor={self.factor}.",
                where=self.name,
                fix="Name some of 0, 1, 2, 3 and a factor over 0.5, at most 2.",
            )

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where the number is among the wanted ones."""
        found = [dimension(structure, self.factor) for structure in structures]
        return Verdict.of([-1 if d is None else d for d in found], [self._reason(d) for d in found])

    def _reason(self, found: int | None) -> str | None:
        if found is None:
            return "atoms overlap or the cell is degenerate, so bonds cannot be told"
        wanted = " or ".join(WORDS[d] for d in sorted(set(self.wanted)))
        return None if found in self.wanted else f"the crystal is {WORDS[found]}, wanted {wanted}"


def dimension(structure: Structure, factor: float = BONDED) -> int | None:
    """Directions in which bonds connect the crystal, 0 to 3; None where atoms overlap."""
    found = bonds(structure, factor)
    if found is None:
        return None
    centre, other, image = found
    part, place = _walk(len(structure), centre, other, image)
    # Around a closed path of bonds the translations add up to a lattice vector in which the part repeats.
    cycles = place[centre] + image - place[other]
    return max(
        int(np.linalg.matrix_rank(cycles[part[centre] == p])) if (part[centre] == p).any() else 0 for p in {*part}
    )


def _walk(atoms: int, centre: np.ndarray, other: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(A,) bonded part of each atom, and (A, 3) the translation at which a walk along bonds reaches it."""
    steps = {(i, j): shift for i, j, shift in zip(centre.tolist(), other.tolist(), image, strict=True)}
    graph = csr_array((np.ones(len(centre)), (centre, other)), shape=(atoms, atoms))
    part, place = np.full(atoms, -1), np.zeros((atoms, 3), dtype=int)
    for root in range(atoms):
        if part[root] >= 0:
            continue
        order, before = breadth_first_order(graph, root, directed=False)
        part[order] = root
        for atom in order[1:].tolist():
            place[atom] = place[before[atom]] + steps[int(before[atom]), atom]
    return part, place
