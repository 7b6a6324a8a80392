"""How much two elements differ chemically.

The measure of the substitution recipe: Pettifor's order of the elements by the structures that they form, and
Pauling's electronegativity.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from matgen.elements import electronegativity, mendeleev_number

ELECTRONEGATIVITY_WEIGHT = 8.0
"""Mendeleev numbers that one unit of electronegativity is worth."""

TYPICAL_ELECTRONEGATIVITY = 1.5
"""Stands in where none is tabulated."""


@cache
def dissimilarity() -> np.ndarray:
    """(119, 119) d(x, y) = |M_x - M_y| + 8 |χ_x - χ_y|, with M the Mendeleev number and χ the electronegativity.

    Elements beyond lawrencium have no Mendeleev number; they count as lying past the end of the row.
    """
    order = np.nan_to_num(mendeleev_number(), nan=float(np.nanmax(mendeleev_number()) + 1))
    scale = np.nan_to_num(electronegativity(), nan=TYPICAL_ELECTRONEGATIVITY) * ELECTRONEGATIVITY_WEIGHT
    table: np.ndarray = np.abs(order[:, None] - order) + np.abs(scale[:, None] - scale)
    table.flags.writeable = False
    return table
