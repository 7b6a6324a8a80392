"""Tables of the elements, indexed by atomic number, drawn from pymatgen, ASE and smact.

Every table has 119 entries: index 0 stands for "undetermined" and is NaN (or empty), as is an unknown value.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from matgen.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pymatgen.core import Element
    from smact import Element as SmactElement

N_NUMBERS = 119
"""Length of every table: atomic numbers 0 to 118."""

OxidationTable = Literal["icsd24", "icsd16", "smact14", "pymatgen_sp"]
"""Tables of oxidation states in smact; ``icsd24`` are those seen at least three times in the ICSD of 2024."""

TOXIC = frozenset({"As", "Be", "Cd", "Hg", "Pb", "Tl"})
"""Elements whose compounds are toxic enough to be kept out of products.

Cd, Hg and Pb: restricted by Directive 2011/65/EU (RoHS). As: with Cd, Hg and Pb among the ten chemicals of major
public health concern of the World Health Organization. Be: carcinogenic to humans, IARC Monograph 100C. Tl: acutely
toxic, Regulation (EC) 1272/2008, annex VI. Elements that are toxic only in one oxidation state (Cr(VI), Ni
dust) are not listed.
"""

SCARCE_BELOW = 0.006
"""Abundance in the Earth's crust, mg/kg, under which an element counts as rare."""


@cache
def elements() -> tuple[Element | None, ...]:
    """Elements of pymatgen by atomic number; None at index 0."""
    from pymatgen.core import Element

    return (None, *(Element.from_Z(z) for z in range(1, N_NUMBERS)))


@cache
def symbols() -> tuple[str, ...]:
    """Chemical symbols by atomic number; an empty string at index 0."""
    return tuple("" if element is None else str(element.symbol) for element in elements())


@cache
def numbers() -> dict[str, int]:
    """Atomic numbers by chemical symbol."""
    return {symbol: z for z, symbol in enumerate(symbols()) if z}


def number(symbol: str) -> int:
    """Atomic number of a symbol, or a ConfigError with the nearest symbols."""
    if symbol not in numbers():
        raise ConfigError(f"{symbol!r} is no element.", fix=did_you_mean(symbol, numbers()))
    return numbers()[symbol]


@cache
def electronegativity() -> np.ndarray:
    """(119,) Pauling electronegativity, from pymatgen; NaN where none is tabulated."""
    return _table(lambda element: element.data.get("X"))


@cache
def valence_electrons() -> np.ndarray:
    """(119,) electrons outside the noble-gas core and filled d or f shells: the group, less 10 in the p block.

    Lanthanides and actinides count three, for their f electrons stay with the core.
    """
    return _table(lambda e: 3 if e.is_lanthanoid or e.is_actinoid else e.group - 10 * (e.group > 12))


@cache
def mendeleev_number() -> np.ndarray:
    """(119,) Mendeleev number (Pettifor's chemical order), from pymatgen."""
    return _table(lambda element: element.data.get("Mendeleev no"))


@cache
def atomic_mass() -> np.ndarray:
    """(119,) Standard atomic mass in u, from pymatgen."""
    return _table(lambda element: element.atomic_mass)


@cache
def covalent_radius() -> np.ndarray:
    """(119,) Covalent radius in Å (Cordero et al., Dalton Trans. 2008, 2832), from ASE; NaN beyond curium."""
    from ase.data import atomic_numbers, covalent_radii

    table = np.array(covalent_radii[:N_NUMBERS], dtype=float)
    table[0] = np.nan
    table[atomic_numbers["Cm"] + 1 :] = np.nan  # ASE fills them with 2 Å, which is also the radius of Pa
    table.flags.writeable = False
    return table


@cache
def metallic_radius() -> np.ndarray:
    """(119,) Metallic radius in Å, from pymatgen; NaN for elements that are no metals."""
    return _table(lambda element: element.data.get("Metallic radius"))


@cache
def price() -> np.ndarray:
    """(119,) Price of the element in USD per kg, as pymatgen tabulates it (September 2013); NaN where none is known.

    The entries are quotations from Wolfram Alpha and Wikipedia; those of Na, K and F are of laboratory grades.
    """
    from pymatgen.analysis.cost import CostDBElements

    # In pymatgen the table's key is a chemical system and its cost USD per mol.
    with warnings.catch_warnings():
        # It sorts elements by electronegativity to write their names, and some have none.
        warnings.filterwarnings("ignore", message="No Pauling electronegativity", category=UserWarning)
        known = CostDBElements()
    entries = {
        symbol: known.get_entries([element]) for symbol, element in zip(symbols(), elements(), strict=True) if element
    }
    per_mol = {symbol: min(entry.energy for entry in found) for symbol, found in entries.items() if found}
    return _table(
        lambda element: 1000 * per_mol[element.symbol] / element.atomic_mass if element.symbol in per_mol else None
    )


@cache
def crustal_abundance() -> np.ndarray:
    """(119,) Abundance in the Earth's crust in mg/kg (CRC Handbook), from smact."""
    return _smact_table("crustal_abundance")


@cache
def supply_risk() -> np.ndarray:
    """(119,) Herfindahl-Hirschman index of elemental production, 0 to 10,000, from smact.

    Above 2,500 a market counts as concentrated (Gaultois et al., Chem. Mater. 25, 2911, 2013).
    """
    return _smact_table("hhi_p")


@cache
def smact_electronegativity() -> np.ndarray:
    """(119,) Pauling electronegativity as smact's rules use it; differs from pymatgen's for some heavy elements."""
    return _smact_table("pauling_eneg")


@cache
def oxidation_states(table: OxidationTable = "icsd24") -> dict[str, tuple[int, ...]]:
    """Oxidation states by symbol, without zero, from one of smact's tables; empty where none is known."""
    if table == "icsd24":
        from smact.utils.oxidation import ICSD24OxStatesFilter

        frame = ICSD24OxStatesFilter().filter()
        known = {row.element: tuple(int(q) for q in row.oxidation_state.split()) for row in frame.itertuples()}
    else:
        attribute = {"pymatgen_sp": "oxidation_states_sp"}.get(table, f"oxidation_states_{table}")
        known = {symbol: tuple(getattr(element, attribute) or ()) for symbol, element in _smact_elements().items()}
    return {symbol: known.get(symbol, ()) for symbol in numbers()}


@cache
def metals() -> frozenset[str]:
    """Elements that smact counts as metals when it decides whether a compound is an alloy."""
    import smact

    return frozenset(smact.metals)


@cache
def groups() -> dict[str, frozenset[str]]:
    """Named groups of elements.

    * ``toxic``: :data:`TOXIC`.
    * ``radioactive``: no stable isotope, as pymatgen states (bismuth counts as stable).
    * ``precious``: the noble metals of periods 5 and 6, groups 8 to 11: Ru, Rh, Pd, Ag,
      Os, Ir, Pt, Au.
    * ``rare``: the precious ones and all whose crustal abundance is under :data:`SCARCE_BELOW`.
    * ``rare_earth``, ``lanthanoid``, ``actinoid``, ``noble_gas``, ``halogen``, ``alkali``, ``transition_metal``: as
      pymatgen has them.
    """
    precious = _where(lambda e: e.row in {5, 6} and 8 <= e.group <= 11)
    scarce = frozenset(s for s, z in numbers().items() if crustal_abundance()[z] < SCARCE_BELOW)
    return {
        "toxic": TOXIC,
        "radioactive": _where(lambda e: e.is_radioactive),
        "precious": precious,
        "rare": precious | scarce,
        "rare_earth": _where(lambda e: e.is_rare_earth),
        "lanthanoid": _where(lambda e: e.is_lanthanoid),
        "actinoid": _where(lambda e: e.is_actinoid),
        "noble_gas": _where(lambda e: e.is_noble_gas),
        "halogen": _where(lambda e: e.is_halogen),
        "alkali": _where(lambda e: e.is_alkali),
        "transition_metal": _where(lambda e: e.is_transition_metal),
    }


def expand(names: Iterable[str]) -> frozenset[str]:
    """Symbols meant by a mixture of symbols and names of :func:`groups`."""
    found: set[str] = set()
    for name in names:
        if name not in groups() and name not in numbers():
            raise ConfigError(
                f"{name!r} is neither an element nor a group of elements.",
                fix=did_you_mean(name, [*groups(), *numbers()]),
            )
        found |= groups().get(name, {name})
    return frozenset(found)


@cache
def _smact_elements() -> dict[str, SmactElement]:
    from smact import element_dictionary

    return dict(element_dictionary())


def _smact_table(attribute: str) -> np.ndarray:
    known = _smact_elements()
    return _table(lambda element: getattr(known[element.symbol], attribute) if element.symbol in known else None)


def _table(value: Callable[[Element], float | None]) -> np.ndarray:
    found = [np.nan, *(value(element) for element in elements() if element is not None)]
    table = np.array([float(v) if isinstance(v, int | float) else np.nan for v in found])
    table.flags.writeable = False  # cached and shared
    return table


def _where(test: Callable[[Element], bool]) -> frozenset[str]:
    return frozenset(str(element.symbol) for element in elements() if element is not None and test(element))
