"""Regions of chemistry, in which errors and intervals are looked at one by one.

Shapes: S materials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.features.composition import amounts

if TYPE_CHECKING:
    from collections.abc import Sequence

REGIONS = (
    ("oxides", {8}),
    ("halides", {9, 17, 35, 53}),
    ("chalcogenides", {16, 34, 52}),
    ("pnictides", {7, 15, 33, 51}),
    ("borides, carbides, silicides, germanides", {5, 6, 14, 32}),
    ("hydrides", {1}),
)
"""Regions of chemistry by the first of these groups of elements that occurs."""

OTHERS = "intermetallics and others"


def region(material: Any) -> str:
    """The region of chemistry of a structure or composition (see :data:`REGIONS`)."""
    present = {z for z, _ in amounts(material)}
    return next((name for name, group in REGIONS if present & group), OTHERS)


def regions(materials: Sequence[Any]) -> np.ndarray:
    """(S,) name of the region of each structure or composition."""
    return np.array([region(material) for material in materials], dtype=object)
