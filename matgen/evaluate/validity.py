"""Validity as the field counts it: no overlapping atoms, and a composition whose charges can balance.

Shapes: S structures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.charge_neutrality import ChargeNeutral
from matgen.features.distances import shortest_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

SHORTEST, SMALLEST = 0.5, 0.1
"""Å and Å³: a valid structure has no shorter distance and no smaller cell (Xie et al., arXiv:2110.06197)."""

PUBLISHED = ChargeNeutral(oxidation_states="smact14", mixed_valence=False)
"""The rule behind the composition validity in papers since CDVAE; MP-20's training set passes it in 90 %."""

SCREENED = ChargeNeutral()
"""The rule by which ``matgen screen`` judges: states of the ICSD of 2024, mixed valence allowed."""


def structural(structures: Sequence[Structure]) -> np.ndarray:
    """(S,) whether all distances exceed 0.5 Å, images included, and the cell 0.1 Å³."""
    return np.array([_keeps_distance(structure) for structure in structures], dtype=bool)


def compositional(structures: Sequence[Structure], rule: ChargeNeutral = PUBLISHED) -> np.ndarray:
    """(S,) whether smact's test (Davies et al., Chem 1, 617, 2016) passes; alloys of metals do."""
    return rule.check(structures).passed


def _keeps_distance(structure: Structure) -> bool:
    shortest = shortest_distances(structure.frac_coords, structure.lattice.matrix).min()
    return bool(structure.volume > SMALLEST and shortest > SHORTEST)
