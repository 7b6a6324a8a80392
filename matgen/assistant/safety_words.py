"""Hazards of a candidate by its elements, in words; a list of warnings, not a safety data sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

WARNINGS = {
    "As": "arsenic compounds are toxic and carcinogenic",
    "Ba": "soluble barium compounds are toxic",
    "Be": "beryllium compounds are toxic and their dust is carcinogenic",
    "Cd": "cadmium compounds are toxic, carcinogenic and restricted in products",
    "Co": "cobalt compounds are suspected carcinogens and sensitise skin",
    "Cr": "hexavalent chromium is carcinogenic",
    "Hg": "mercury compounds are toxic and volatile",
    "Ni": "nickel compounds are carcinogenic by inhalation and sensitise skin",
    "Os": "osmium forms a volatile toxic oxide",
    "Pb": "lead compounds are toxic and restricted in products",
    "Sb": "antimony compounds are toxic, and the trioxide is a suspected carcinogen",
    "Te": "tellurium compounds are toxic in small amounts",
    "Tl": "thallium compounds are acutely toxic",
    "V": "vanadium oxides are toxic by inhalation",
    "F": "fluorides may release hydrogen fluoride with acids",
    "Li": "lithium metal and some lithium compounds react with water",
    "Na": "sodium metal, if used as a starting material, reacts violently with water",
    "K": "potassium metal, if used as a starting material, reacts violently with water",
    "Rb": "rubidium metal, if used as a starting material, ignites in air",
    "Cs": "caesium metal, if used as a starting material, ignites in air",
}
HYDRIDES = {
    "S": "sulfides may release hydrogen sulfide with acids or moist air",
    "Se": "selenides may release hydrogen selenide with acids or moist air, and selenium compounds are toxic",
    "P": "phosphides may release phosphine with moist air",
}
"""Warnings that hold for the anion; with oxygen present the element is taken for the centre of an oxo-anion."""


def hazards(elements: Collection[str]) -> dict[str, str]:
    """Warnings by element symbol for a composition.

    Args:
        elements: Its element symbols.
    """
    from pymatgen.core import Element

    found = {symbol: WARNINGS[symbol] for symbol in elements if symbol in WARNINGS}
    if "O" not in elements and len(elements) > 1:
        found |= {symbol: HYDRIDES[symbol] for symbol in elements if symbol in HYDRIDES}
    return found | {symbol: "it is radioactive" for symbol in elements if Element(symbol).is_radioactive}
