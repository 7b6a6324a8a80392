"""Regions of chemistry, in which errors and intervals are looked at one by one.

Shapes: S materials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.elements import valence_electrons
from matgen.features.composition import amounts

if TYPE_CHECKING:
    from collections.abc import Sequence

METALLOIDS = "borides, carbides, silicides, germanides"

REGIONS = (
    ("oxides", {8}),
    ("halides", {9, 17, 35, 53}),
    ("chalcogenides", {16, 34, 52}),
    ("pnictides", {7, 15, 33, 51}),
    (METALLOIDS, {5, 6, 14, 32}),
    ("hydrides", {1}),
)
"""Regions of chemistry by the first of these groups of elements that occurs."""

OTHERS = "intermetallics and others"

METALLIC = (METALLOIDS, OTHERS)
"""Regions that consist of metals for the most part."""

CLOSED = "intermetallics with closed shells"
"""Those of :data:`METALLIC` that may be semiconductors."""

SHELLS: dict[tuple[float, ...], set[int]] = {(1, 1, 1): {8, 18}, (1, 1, 2): {24}, (1, 1, 1, 1): {24}}
"""Valence electrons of a formula unit, by its amounts, that fill the bands of half-Heusler and Heusler compounds (Graf
et al., Prog. Solid State Chem. 39, 1, 2011)."""


def region(material: Any) -> str:
    """The region of chemistry of a structure or composition (see :data:`REGIONS` and :data:`CLOSED`)."""
    found = amounts(material)
    present = {z for z, _ in found}
    name = next((name for name, group in REGIONS if present & group), OTHERS)
    return CLOSED if name in METALLIC and _closed(found) else name


def regions(materials: Sequence[Any]) -> np.ndarray:
    """(S,) name of the region of each structure or composition."""
    return np.array([region(material) for material in materials], dtype=object)


def _closed(found: Sequence[tuple[int, float]]) -> bool:
    """Whether bands that the valence electrons fill are to be expected."""
    least = min(amount for _, amount in found)
    unit = [(z, round(amount / least, 2)) for z, amount in found]
    electrons = sum(valence_electrons()[z] * amount for z, amount in unit)
    return electrons in SHELLS.get(tuple(sorted(amount for _, amount in unit)), ())
