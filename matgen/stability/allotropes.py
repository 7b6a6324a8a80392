"""Candidate crystal structures of an element, from which its reference energy is found."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pymatgen.core import Element, Lattice, Structure

from matgen.data.structures import from_atoms
from matgen.elements import covalent_radius, symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

CM3_PER_MOL = 1.66053906660
"""One cm³/mol in Å³ per atom."""

LARGEST_PROTOTYPE = 36
"""Larger elemental prototypes (Hittorf's phosphorus, beta boron ...) are left to data sets of known structures."""

SHORTEST_BOND = 0.6
"""In units of twice the covalent radius; actinides have the shortest bonds by this measure."""

MOST_SWOLLEN = 1.35
"""Volume by the measured molar volume."""


def allotropes(z: int) -> list[Structure]:
    """Starting structures of an element: every elemental AFLOW prototype, and what ASE knows of it.

    Each prototype is scaled twice: to the element's molar volume, which suits metals, and to bonds of twice its
    covalent radius, which suits molecules and networks.

    Args:
        z: Atomic number.
    """
    scaled = [_as_element(prototype, z, volume) for prototype in _prototypes() for volume in _volumes(prototype, z)]
    return scaled + _known_to_ase(z)


@cache
def _prototypes() -> tuple[Structure, ...]:
    """Elemental prototypes of the AFLOW library (Mehl et al., Comput. Mater. Sci. 136, S1, 2017), as in pymatgen."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    structures = [entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY]
    return tuple(s for s in structures if len(s.composition) == 1 and len(s) <= LARGEST_PROTOTYPE)


def _volumes(prototype: Structure, z: int) -> Sequence[float]:
    """Volumes per atom to try, Å³."""
    bond = nearest_distance(prototype)
    by_bond = prototype.volume / len(prototype) * float(2 * covalent_radius()[z] / bond) ** 3
    molar = Element.from_Z(z).molar_volume
    by_volume = float(molar) * CM3_PER_MOL if molar else by_bond
    return [by_volume] if abs(by_bond / by_volume - 1) < 0.1 else [by_volume, by_bond]


def nearest_distance(structure: Structure) -> float:
    """Shortest distance between any two atoms, images included, Å."""
    reach = 2.0 * (structure.volume / len(structure)) ** (1 / 3)
    while True:
        distances = structure.get_neighbor_list(reach)[3]
        if len(distances):
            return float(distances.min())
        reach *= 1.5


def _as_element(prototype: Structure, z: int, volume: float) -> Structure:
    factor = (volume * len(prototype) / prototype.volume) ** (1 / 3)
    lattice = Lattice(prototype.lattice.matrix * factor)
    return Structure(lattice, [Element.from_Z(z)] * len(prototype), prototype.frac_coords)


def _known_to_ase(z: int) -> list[Structure]:
    from ase.build import bulk

    try:
        return [from_atoms(bulk(symbols()[z]))]
    except (ValueError, RuntimeError, KeyError, NotImplementedError, TypeError, AssertionError):
        return []  # ASE knows no bulk structure of this element, or only a molecule


def plausible(structure: Structure, z: int) -> bool:
    """Whether an allotrope has bonds and a volume that the element can have.

    Potentials have false minima at short distances, and those without dispersion let molecular crystals swell until
    they mean nothing; either would falsify the reference energy of the element.
    """
    bond = nearest_distance(structure) / (2 * covalent_radius()[z])
    molar = Element.from_Z(z).molar_volume
    volume = structure.volume / len(structure) / (float(molar) * CM3_PER_MOL) if molar else 1.0
    return bool(bond >= SHORTEST_BOND and 1 / MOST_SWOLLEN <= volume <= MOST_SWOLLEN)
