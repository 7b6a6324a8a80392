"""Coverage: how much of a reference was generated, and how much of what was generated looks like the reference.

COV-R and COV-P as Xu et al. (arXiv:2105.07246) and Xie et al. (CDVAE, arXiv:2110.06197) define them, with fingerprints
that cost microseconds: the shape of :mod:`matgen.evaluate.fingerprint` and the composition vectors of
:mod:`matgen.features.composition`. Their cut-offs are narrower than those of CDVAE, under which nearly every model
covers everything, so the numbers cannot be held against published ones.

Shapes: M generated structures, N reference structures, F features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from matgen.evaluate.fingerprint import STEP
from matgen.evaluate.interval import share
from matgen.features.composition import composition_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.execution import Row

SHAPE = 0.05
"""(V/A)^(1/3); difference of shapes within which two structures are alike."""

COMPOSITION = 0.5
"""Root mean square difference of composition vectors, in standard deviations over the elements."""

_BLOCK = 500

PROTOCOL = {
    "coverage_recall": f"share of the reference with a generated structure within {SHAPE} (V/A)^(1/3) in shape and "
    f"{COMPOSITION} in composition (COV-R; narrower than CDVAE's cut-offs, other fingerprints)",
    "coverage_precision": "share of all generated structures with a reference structure as near (COV-P); an invalid "
    "one has none",
}


def coverage(made: Sequence[Row], there: Sequence[Row], n: int) -> dict[str, Any]:
    """COV-R and COV-P, each with its interval.

    Args:
        made: ``formula`` and ``shape`` (in steps) of the M valid generated structures.
        there: The same of the N reference structures.
        n: Generated structures, invalid ones included.
    """
    near = alike(made, there)
    return {"coverage_recall": share(near.any(0)), "coverage_precision": share(near.any(1), n)}


def alike(made: Sequence[Row], there: Sequence[Row]) -> np.ndarray:
    """(M, N) whether two structures are within both cut-offs."""
    if not len(made) or not len(there):
        return np.zeros((len(made), len(there)), dtype=bool)
    shapes = [np.array([row["shape"] for row in rows], dtype=float) * STEP for rows in (made, there)]
    # Means and deviations of one distance count as one, as in matgen.evaluate.fingerprint.apart.
    shapes = [rows * (2 / rows.shape[1]) ** 0.5 for rows in shapes]
    vectors = [composition_features([row["formula"] for row in rows]) for rows in (made, there)]
    vectors = [rows / rows.shape[1] ** 0.5 for rows in vectors]
    parts = []
    for begin in range(0, len(made), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        near = cdist(shapes[0][block], shapes[1]) <= SHAPE
        parts.append(near & (cdist(vectors[0][block], vectors[1]) <= COMPOSITION))
    return np.concatenate(parts)
