"""Oxidation states that make a formula neutral, found by dynamic programming over charge sums.

smact enumerates every combination of states; the sums that can be reached are few, so the same question is answered
here without a limit on the number of combinations, and the nearest miss is known when there is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import OxidationTable, numbers, oxidation_states, smact_electronegativity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

States = tuple[int, ...]
Assignment = dict[str, States]
"""Oxidation states by element: one, or several where the element is of mixed valence."""


@dataclass(frozen=True)
class Rule:
    """Which assignments count as chemically sensible.

    Args:
        table: Where the oxidation states come from.
        mixed_valence: Atoms of the elements that smact lists as mixed-valent may differ in state.
        ordered: Every cation must be less electronegative than every anion (Pauling).
    """

    table: OxidationTable = "icsd24"
    mixed_valence: bool = True
    ordered: bool = True


def reduced_counts(counts: Mapping[str, float]) -> dict[str, int]:
    """Whole atom counts of the formula unit, by element in alphabetical order."""
    whole = {element: round(counts[element]) for element in sorted(counts)}
    divisor = gcd(*whole.values())
    return {element: count // divisor for element, count in whole.items()}


def nearest_neutral(counts: Mapping[str, int], rule: Rule) -> tuple[int, Assignment] | None:
    """The charge sum nearest to zero, and an assignment that gives it; one state an element where that suffices.

    Args:
        counts: Atoms of the formula unit by element.
        rule: Which assignments are allowed.

    Returns:
        The charge per formula unit and the assignment, or None where an element has no known state or, with an
        ordered rule and more than one element, no electronegativity.
    """
    return _nearest(tuple(sorted(counts.items())), rule)


@lru_cache(maxsize=50_000)
def _nearest(counts: tuple[tuple[str, int], ...], rule: Rule) -> tuple[int, Assignment] | None:
    from smact.screening import MIXED_VALENCE_ELEMENTS

    best: tuple[int, Assignment] | None = None
    for mixed in (frozenset[str](), MIXED_VALENCE_ELEMENTS if rule.mixed_valence else frozenset[str]()):
        for allowed in _allowed_states([element for element, _ in counts], rule):
            found = _closest_sum(counts, allowed, mixed)
            if best is None or abs(found[0]) < abs(best[0]):
                best = found
        if best is None or best[0] == 0:
            break
    return best


def _allowed_states(elements: list[str], rule: Rule) -> Iterator[Assignment]:
    """Allowed states by element: as tabulated, or for an ordered rule once for each cut of the electronegativity scale.

    Elements up to the cut take their positive states, those above it their negative ones: exactly the assignments in
    which no cation is as electronegative as an anion.
    """
    known = {element: oxidation_states(rule.table)[element] for element in elements}
    if not rule.ordered:
        if all(known.values()):
            yield known
        return
    scale = {element: float(smact_electronegativity()[numbers()[element]]) for element in elements}
    if len(elements) > 1 and any(np.isnan(value) for value in scale.values()):
        return
    for cut in (-1.0, *sorted(set(scale.values()))):
        sided = {e: tuple(q for q in known[e] if (q > 0) == (scale[e] <= cut)) for e in elements}
        if all(sided.values()):
            yield sided


def _closest_sum(
    counts: tuple[tuple[str, int], ...], allowed: Assignment, mixed: frozenset[str]
) -> tuple[int, Assignment]:
    sums: dict[int, tuple[States, ...]] = {0: ()}
    for element, count in counts:
        choices = _mixed_sums(allowed[element], count) if element in mixed else _uniform_sums(allowed[element], count)
        sums = {total + charge: (*states, chosen) for total, states in sums.items() for charge, chosen in choices}
    charge = min(sums, key=lambda total: (abs(total), total))
    return charge, {element: states for (element, _), states in zip(counts, sums[charge], strict=True)}


def _uniform_sums(states: Iterable[int], count: int) -> list[tuple[int, States]]:
    return [(count * state, (state,)) for state in states]


@lru_cache(maxsize=10_000)
def _mixed_sums(states: States, count: int) -> list[tuple[int, States]]:
    """Every charge that ``count`` atoms can add up to, with a set of states that gives it."""
    reached: dict[int, frozenset[int]] = {0: frozenset()}
    for _ in range(count):
        step: dict[int, frozenset[int]] = {}
        for total, used in reached.items():
            for state in states:
                step.setdefault(total + state, used | {state})
        reached = step
    return [(charge, tuple(sorted(used))) for charge, used in reached.items()]
