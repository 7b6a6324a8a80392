"""Which elements drive a prediction: the change when a small share of one element is taken away.

For each element one of its atoms is removed from a supercell of at least :data:`ATOMS` atoms and the prediction is
compared with that of the whole cell: d = f(whole) - f(without one atom), scaled to one per cent of the atoms. A
positive number means that the element raises the predicted value. This works for any surrogate.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from matgen.assistant.records import number
from matgen.data.property import PROPERTIES
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from matgen.surrogates.base import Surrogate

ATOMS = 40


def attribute_elements(row: dict[str, Any], structure: Structure) -> dict[str, list[tuple[str, float]]]:
    """For each predicted property with a shipped model, (element, change) in the property's unit, largest first.

    Args:
        row: The candidate's columns; a property counts as predicted where it has a ``_std`` column.
        structure: Its structure.
    """
    from matgen.surrogates.prediction import surrogate_for

    found = {}
    for name in PROPERTIES:
        if number(row, f"{name}_std") is None:
            continue
        try:
            surrogate = surrogate_for(name)
        except MatgenError:
            continue  # predicted with the user's own model, which the run does not carry
        found[name] = element_changes(structure, surrogate)
    return found


def element_changes(structure: Structure, surrogate: Surrogate) -> list[tuple[str, float]]:
    """(element, change per one per cent of the atoms), by falling magnitude."""
    times = max(1, ceil((ATOMS / len(structure)) ** (1 / 3)))
    whole = structure.make_supercell([times] * 3, in_place=False)
    symbols = list(dict.fromkeys(site.specie.symbol for site in whole))
    variants = [whole]
    for symbol in symbols:
        without = whole.copy()
        without.remove_sites([next(i for i, site in enumerate(whole) if site.specie.symbol == symbol)])
        variants.append(without)
    mean = surrogate.predict(variants).mean
    share = len(whole) / 100.0
    changes = [(s, float(mean[0] - value) * share) for s, value in zip(symbols, mean[1:], strict=True)]
    return sorted(changes, key=lambda pair: -abs(pair[1]))
