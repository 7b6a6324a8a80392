"""Which elements and sites drive a prediction: the change when a small share of one kind of atom is taken away.

For each symmetry-inequivalent site one of its atoms is removed from a supercell of at least :data:`ATOMS` atoms and
the prediction is compared with that of the whole cell: d = f(whole) - f(without one atom), scaled to one per cent of
the atoms. A positive number means that the atoms raise the predicted value. This works for any surrogate.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.records import number
from matgen.data.property import PROPERTIES
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from matgen.surrogates.base import Surrogate

ATOMS = 40
SITES = 24
"""Inequivalent sites up to which each is removed in turn; of more, one for each element."""
ALIKE = 0.05
"""Sites of one element whose changes agree within this share of the largest change are not told apart."""


def attribute(row: dict[str, Any], structure: Structure) -> dict[str, list[tuple[str, float]]]:
    """For each predicted property with a shipped model, (element or site, change in its unit), largest first.

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
        found[name] = changes(structure, surrogate)
    return found


def changes(structure: Structure, surrogate: Surrogate) -> list[tuple[str, float]]:
    """(Element, change per one per cent of the atoms), by falling magnitude.

    Where the sites of one element act differently, each gets a line such as ``O on site 2 (4 atoms)``.
    """
    orbits = _orbits(structure)
    times = max(1, ceil((ATOMS / len(structure)) ** (1 / 3)))
    whole = structure.make_supercell([times] * 3, in_place=False)
    share = len(whole) / 100.0
    variants = [whole]
    for symbol, members in orbits:
        place = structure[members[0]].coords
        without = whole.copy()
        near = [i for i in range(len(whole)) if whole[i].specie.symbol == symbol]
        without.remove_sites([min(near, key=lambda i: float(np.linalg.norm(whole[i].coords - place)))])
        variants.append(without)
    mean = surrogate.predict(variants).mean
    found = [
        (symbol, len(members), float(mean[0] - v) * share)
        for (symbol, members), v in zip(orbits, mean[1:], strict=True)
    ]
    return sorted(_told_apart(found), key=lambda pair: -abs(pair[1]))


def _told_apart(found: list[tuple[str, int, float]]) -> list[tuple[str, float]]:
    """Sites of an element joined where they act alike."""
    largest = max(abs(change) for _, _, change in found)
    lines: list[tuple[str, float]] = []
    for symbol in dict.fromkeys(s for s, _, _ in found):
        sites = [(n, change) for s, n, change in found if s == symbol]
        values = [change for _, change in sites]
        if max(values) - min(values) <= ALIKE * largest:
            lines.append((symbol, float(np.average(values, weights=[n for n, _ in sites]))))
        else:
            lines += [
                (f"{symbol} on site {i} ({n} {'atom' if n == 1 else 'atoms'} of the cell)", change)
                for i, (n, change) in enumerate(sites, start=1)
            ]
    return lines


def _orbits(structure: Structure) -> list[tuple[str, list[int]]]:
    """Symbol and members of each set of symmetry-equivalent atoms; by element only where there are too many."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    labels: list[Any]
    try:
        labels = list(SpacegroupAnalyzer(structure, symprec=0.1).get_symmetry_dataset().equivalent_atoms)
    except SymmetryUndeterminedError:  # every atom is a site of its own
        labels = list(range(len(structure)))
    if len(set(labels)) > SITES:
        labels = [site.specie.symbol for site in structure]
    groups: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(label, []).append(i)
    return [(structure[members[0]].specie.symbol, members) for members in groups.values()]
