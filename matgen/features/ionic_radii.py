"""Shannon's ionic radii by element, oxidation state and coordination number, from pymatgen.

Shannon, Acta Cryst. A 32, 751 (1976). Where a spin state matters, high spin is taken.
"""

from __future__ import annotations

from functools import cache

from matgen.elements import elements, numbers

COORDINATION = {
    "I": 1,
    "II": 2,
    "III": 3,
    "IIIPY": 3,
    "IV": 4,
    "IVSQ": 4,
    "IVPY": 4,
    "V": 5,
    "VI": 6,
    "VII": 7,
    "VIII": 8,
    "IX": 9,
    "X": 10,
    "XI": 11,
    "XII": 12,
    "XIV": 14,
}
"""Coordination numbers by their names in the table; square-planar and pyramidal ones stand beside the usual ones."""


@cache
def ionic_radius(symbol: str, state: int, coordination: int) -> float | None:
    """Radius in Å of an ion, at the tabulated coordination number nearest to the wanted one; None for unknown ions.

    Args:
        symbol: Of the element.
        state: Oxidation state.
        coordination: Number of neighbours.
    """
    element = elements()[numbers()[symbol]]
    tabulated = (element.data.get("Shannon radii") or {}).get(str(state), {}) if element is not None else {}
    plain = {name: COORDINATION[name] for name in tabulated if name in COORDINATION}
    if not plain:
        return None
    # Of square and tetrahedral fourfold coordination the latter, whose name is the shorter.
    nearest = min(plain, key=lambda name: (abs(plain[name] - coordination), len(name)))
    spins = tabulated[nearest]
    return float(spins.get("High Spin", spins.get("", next(iter(spins.values()))))["ionic_radius"])
