"""Composition vectors: statistics of element properties over the atoms.

After Ward et al., npj Comput. Mater. 2, 16028 (2016), "Magpie".

Shapes: S compositions, P element properties, D features.

Unknown values: a property that the tables do not give for an element is replaced by the mean over the elements
that have it, so every feature is finite for every element; whether a model has *seen* an element is a question
for its domain check, not for the features.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition, Element, Structure

from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_Z = 118
LAST_TABULATED_Z = 103
"""Beyond lawrencium pymatgen's tables hold placeholders; those elements count as unknown."""

MAGPIE_COLUMNS = (
    *("Number", "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius", "Electronegativity"),
    *("NsValence", "NpValence", "NdValence", "NfValence", "NValence"),
    *("NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled"),
    *("GSvolume_pa", "GSbandgap", "GSmagmom", "SpaceGroupNumber"),
)
ELEMENT_COLUMNS = (*MAGPIE_COLUMNS, "IonizationEnergy", "ElectronAffinity")
"""Names of the P element properties: Magpie's table in smact (K, pm, Å³, eV, μB) and two of pymatgen (eV)."""

STATISTICS = ("mean", "deviation", "minimum", "maximum", "range", "most_abundant")
NORMS = (2, 3, 5)
FEATURE_NAMES = (
    *(f"{statistic} {column}" for statistic in STATISTICS for column in ELEMENT_COLUMNS),
    *(f"{p}-norm of fractions" for p in NORMS),
    "number of elements",
)
"""Names of the D = 6 P + 4 features."""


@cache
def element_table() -> np.ndarray:
    """(119, P) element properties by atomic number, each scaled to mean 0 and standard deviation 1; row 0 is zero."""
    import pandas as pd
    import smact

    magpie = pd.read_csv(Path(smact.data_directory) / "magpie.csv", index_col="element", keep_default_na=False)
    table = np.full((MAX_Z + 1, len(ELEMENT_COLUMNS)), np.nan)
    for z in range(1, LAST_TABULATED_Z + 1):
        element = Element.from_Z(z)
        if element.symbol in magpie.index:
            table[z, : len(MAGPIE_COLUMNS)] = magpie.loc[element.symbol, list(MAGPIE_COLUMNS)].astype(float)
        table[z, -2:] = [_number(element, "ionization_energy"), _number(element, "electron_affinity")]
    table = (table - np.nanmean(table, axis=0)) / np.nanstd(table, axis=0)
    table = np.nan_to_num(table, nan=0.0)
    table[0] = 0.0
    return table


def composition_features(materials: Sequence[Structure | Composition | str]) -> np.ndarray:
    """Feature matrix (S, D) in the order of :data:`FEATURE_NAMES`.

    With x_i the atomic fractions and p_i an element property: mean = Σ x_i p_i, deviation = Σ x_i |p_i - mean|,
    minimum, maximum and range over the elements present, and the value of the most abundant element (ties: their
    mean). p-norms are (Σ x_i^p)^(1/p). Repeated compositions are computed once.

    Args:
        materials: Structures, compositions or formulas.

    Raises:
        DataError: A formula cannot be read, or holds no real element.
    """
    rows = [_features(amounts(material)) for material in materials]
    return np.array(rows).reshape(len(rows), len(FEATURE_NAMES))


def fractions(materials: Sequence[Structure | Composition | str]) -> np.ndarray:
    """Atomic fractions (S, 119) by atomic number."""
    table = np.zeros((len(materials), MAX_Z + 1))
    for row, material in zip(table, materials, strict=True):
        for z, x in amounts(material):
            row[z] = x
    return table


def amounts(material: Structure | Composition | str) -> tuple[tuple[int, float], ...]:
    """Sorted pairs of atomic number and atomic fraction.

    Raises:
        DataError: No readable formula.
    """
    if isinstance(material, Structure):
        return _whole_amounts(material)
    if isinstance(material, str):
        return _parsed(material)
    if not material.valid or not len(material):
        raise DataError(f"{material.formula!r} holds no elements.")
    found: dict[int, float] = {}
    for species, amount in material.fractional_composition.items():
        found[species.Z] = found.get(species.Z, 0.0) + round(amount, 10)
    return tuple(sorted(found.items()))


@lru_cache(maxsize=65536)
def _parsed(formula: str) -> tuple[tuple[int, float], ...]:
    try:
        composition = Composition(formula, strict=True)
    except (ValueError, KeyError) as error:
        raise DataError(f"{formula!r} is no formula ({error}).") from error
    return amounts(composition)


def _whole_amounts(structure: Structure) -> tuple[tuple[int, float], ...]:
    return amounts(structure.composition)


@lru_cache(maxsize=65536)
def _features(pairs: tuple[tuple[int, float], ...]) -> np.ndarray:
    numbers, x = np.array([z for z, _ in pairs]), np.array([x for _, x in pairs])
    p = element_table()[numbers]
    mean = x @ p
    low, high = p.min(axis=0), p.max(axis=0)
    most = p[x >= x.max() - 1e-9].mean(axis=0)
    norms = [(x**power).sum() ** (1 / power) for power in NORMS]
    return np.concatenate([mean, x @ np.abs(p - mean), low, high, high - low, most, norms, [len(x)]])


def _number(element: Element, name: str) -> float:
    value = getattr(element, name)
    return np.nan if value is None else float(value)
