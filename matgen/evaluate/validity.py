"""Validity as the field counts it: no overlapping atoms, and a composition whose charges can balance.

Shapes: S structures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.distances import shortest_distances
from matgen.constraints.specification import build_constraints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

SHORTEST, SMALLEST = 0.5, 0.1
"""Å and Å³: a valid structure has no shorter distance and no smaller cell (Xie et al., arXiv:2110.06197)."""


def structural(structures: Sequence[Structure]) -> np.ndarray:
    """(S,) whether all distances exceed 0.5 Å, images included, and the cell 0.1 Å³."""
    return np.array(
        [
            bool(s.volume > SMALLEST and shortest_distances(s.frac_coords, s.lattice.matrix).min() > SHORTEST)
            for s in structures
        ]
    )


def compositional(structures: Sequence[Structure]) -> np.ndarray:
    """(S,) whether smact (Davies et al., Chem 1, 617, 2016) finds charges that balance; alloys of metals pass."""
    (neutral,) = build_constraints(["charge_neutral"])
    return neutral.check(structures).passed
