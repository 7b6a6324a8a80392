"""Scales on which two elements can be near or far: size, chemistry, place in the periodic table.

Every scale has 119 finite entries by atomic number; an unknown value is replaced by a typical one, so that a
difference of scales always exists. For the values themselves see :mod:`matgen.elements`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.elements import covalent_radius, electronegativity, elements, mendeleev_number

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def mendeleev_scale() -> np.ndarray:
    """Mendeleev number; elements that have none lie past the end of the row."""
    return _filled(mendeleev_number(), float(np.nanmax(mendeleev_number()) + 1))


@cache
def electronegativity_scale() -> np.ndarray:
    """Pauling electronegativity."""
    return _filled(electronegativity(), 1.5)


@cache
def log_covalent_radius() -> np.ndarray:
    """Logarithm of the covalent radius in Å."""
    return np.log(_filled(covalent_radius(), 1.6))


@cache
def log_atomic_radius() -> np.ndarray:
    """Logarithm of the empirical atomic radius in Å (Slater, J. Chem. Phys. 41, 3199, 1964), from pymatgen."""
    radii = [0.0, *(float(el.atomic_radius or 0.0) for el in elements() if el is not None)]
    return np.log(_filled(np.where(np.array(radii) > 0, radii, np.nan), 1.5))


@cache
def log_ionic_radius() -> np.ndarray:
    """Logarithm of the mean radius in Å of an element's cations (of its anions if it has no cations), from pymatgen."""
    mean = np.array([np.nan, *(_mean_ionic_radius(el.ionic_radii) for el in elements() if el is not None)])
    return np.log(np.where(np.isnan(mean), np.exp(log_covalent_radius()), mean))


@cache
def group_scale() -> np.ndarray:
    """Column of the periodic table."""
    return np.array([0.0, *(float(el.group) for el in elements() if el is not None)])


@cache
def metallic() -> np.ndarray:
    """1 for metals, 0 for others."""
    return np.array([0.0, *(float(el.is_metal) for el in elements() if el is not None)])


def _mean_ionic_radius(radii: Mapping[Any, float]) -> float:
    chosen = [float(r) for charge, r in radii.items() if charge > 0] or [float(r) for r in radii.values()]
    return float(np.mean(chosen)) if chosen else float("nan")


def _filled(table: np.ndarray, value: float) -> np.ndarray:
    return np.where(np.isnan(table), value, table)
