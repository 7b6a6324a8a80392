"""Which element an atom may become so that the whole cell can still be neutral: exact enough never to lead astray.

While a cell is filled atom by atom, an element is allowed if some filling of the remaining atoms is known to satisfy
the rule of charge neutrality. Looked for are fillings by one element: one that the cell holds, or a common one. Such a
filling, once it exists, exists after each of its own steps, so the mask has no dead ends; what it allows passes the
check, though some unusual cells that would pass are left out (two further elements at the last two places, mixed
valence).

Charges are sets of sums, one for each cut of the electronegativity scale: elements up to the cut are cations, those
above it anions. Shapes: K cuts, Z atomic numbers (0 to 118), Q states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import N_NUMBERS, metals, numbers, oxidation_states, smact_electronegativity

if TYPE_CHECKING:
    from matgen.constraints.oxidation import Rule

Counts = tuple[tuple[int, int], ...]
"""(atomic number, atoms) of the elements that are determined, ascending."""

STATES = np.arange(-5, 10)
"""(Q,) oxidation states; smact's tables hold no others."""

COMMON = (("O", "F", "Na", "Mg", "Al", "Si", "Ca", "Fe"), ("S", "Cl", "K", "Ba", "Ti", "Zr", "N", "P"))
"""Two groups of elements to fill with; those of one group are not looked at when an element of it is placed."""


@dataclass(frozen=True)
class Scale:
    """The rule's states by cut.

    Args:
        states: (K, Z, Q) whether an element may take a state where the scale is cut there.
    """

    states: np.ndarray

    def of(self, element: int) -> np.ndarray:
        """(K, Q) states of one element."""
        return np.asarray(self.states[:, element])

    def elements(self, useful: np.ndarray) -> np.ndarray:
        """(Z,) elements that may take one of the ``useful (K, Q)`` states."""
        return np.asarray(self._by_element @ useful.ravel().astype(np.float32) > 0)

    @cached_property
    def _by_element(self) -> np.ndarray:
        return self.states.transpose(1, 0, 2).reshape(N_NUMBERS, -1).astype(np.float32)


@cache
def scale(rule: Rule) -> Scale:
    """States of all elements for each cut of the electronegativity scale; one cut, if it is no matter of order."""
    known = np.zeros((N_NUMBERS, len(STATES)), dtype=bool)
    for symbol, states in oxidation_states(rule.table).items():
        known[numbers()[symbol], np.searchsorted(STATES, states)] = True
    if not rule.ordered:
        return Scale(known[None])
    pauling = smact_electronegativity()
    cuts = np.unique(pauling[np.isfinite(pauling)])
    cation = pauling <= cuts[:, None]
    sided = np.where(STATES > 0, cation[..., None], ~cation[..., None]) & known
    sided &= np.isfinite(pauling)[:, None]
    return Scale(np.unique(sided, axis=0))


@lru_cache(maxsize=50_000)
def allowed_elements(counts: Counts, left: int, rule: Rule, include_alloys: bool) -> np.ndarray:
    """(Z,) elements that the next of ``left`` atoms may become.

    Args:
        counts: What is determined.
        left: Undetermined atoms, the next one included.
        rule: Of neutrality; its mixed valence is not used.
        include_alloys: Whether a compound of metals only passes.
    """
    held = dict(counts)
    allowed = _new(counts, left - 1, rule)
    for element in held:
        allowed[element] = _again(counts, element, left, rule)
    if include_alloys and _are_metals(held):
        allowed |= _metals()
    if len(held) <= 1:
        allowed[list(held) or slice(None)] = True
    allowed[0] = False
    allowed.flags.writeable = False
    return allowed


def _new(counts: Counts, rest: int, rule: Rule) -> np.ndarray:
    """(Z,) elements not held yet after which the rest can be filled."""
    states, sums = scale(rule), _sums(counts, rule)
    # Filled with the element itself, which then has 1 + rest atoms.
    useful = sums.meets(STATES * (1 + rest))
    if rest:
        for element, atoms in counts:
            useful |= _beside(_without(counts, element), 1, element, atoms + rest, rule)
    allowed = states.elements(useful)
    for mine, others in zip(_common(), _common()[::-1], strict=True) if rest else ():
        reached = sums.meets(STATES[:, None] + rest * STATES) & _fill(states.states, others, counts)
        found = states.elements(reached.any(-1))
        found[list(mine)] = False
        allowed |= found
    return allowed


def _again(counts: Counts, element: int, left: int, rule: Rule) -> bool:
    """Whether one more atom of an element that is held leaves a filling."""
    others, atoms, rest = _without(counts, element), dict(counts)[element] + 1, left - 1
    sums, states = _sums(others, rule), scale(rule).states
    useful = sums.meets(STATES * (atoms + rest))
    if rest:
        for other, held in others:
            useful |= _beside(_without(others, other), atoms, other, held + rest, rule)
        for group in _common():
            reached = sums.meets(STATES[:, None] * atoms + rest * STATES) & _fill(states, group, counts)
            useful |= reached.any(-1)
    return bool((states[:, element] & useful).any())


def _beside(counts: Counts, atoms: int, other: int, others: int, rule: Rule) -> np.ndarray:
    """(K, Q) states in which some atoms of an element are balanced by the determined ones and all of another."""
    reached = _sums(counts, rule).meets(STATES[:, None] * atoms + STATES * others)
    return np.asarray((reached & scale(rule).of(other)[:, None]).any(-1))


def _fill(states: np.ndarray, group: tuple[int, ...], counts: Counts) -> np.ndarray:
    """(K, 1, Q) states of those elements of a group that the cell does not hold."""
    held = dict(counts)
    free = [z for z in group if z not in held]
    return np.logical_or.reduce(states[:, free], axis=1, keepdims=True)


def _without(counts: Counts, element: int) -> Counts:
    return tuple(pair for pair in counts if pair[0] != element)


@dataclass(frozen=True)
class Sums:
    """Charges that the determined atoms can add up to.

    Args:
        reached: (K, 2 M + 1) by cut, for charges from -M to M.
    """

    reached: np.ndarray

    def meets(self, charge: np.ndarray) -> np.ndarray:
        """(K, ...) whether further atoms of this total charge make the cell neutral."""
        middle = self.reached.shape[1] // 2
        index = middle - charge
        inside = (index >= 0) & (index < self.reached.shape[1])
        return np.asarray(self.reached[:, np.where(inside, index, 0)] & inside)


@lru_cache(maxsize=50_000)
def _sums(counts: Counts, rule: Rule) -> Sums:
    """All charges of the determined atoms, each element in one state."""
    states = scale(rule).states
    if not counts:
        return Sums(np.ones((len(states), 1), dtype=bool))
    *others, (element, count) = counts
    before = _sums(tuple(others), rule).reached
    most, width = int(np.abs(STATES).max()) * count, before.shape[1]
    grown = np.zeros((len(states), width + 2 * most), dtype=bool)
    for place in np.flatnonzero(states[:, element].any(0)):
        start = most + int(STATES[place]) * count
        grown[:, start : start + width] |= before & states[:, element, place, None]
    return Sums(grown)


@cache
def _common() -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(numbers()[symbol] for symbol in group) for group in COMMON)


@cache
def _metals() -> np.ndarray:
    table = np.zeros(N_NUMBERS, dtype=bool)
    table[[numbers()[symbol] for symbol in metals()]] = True
    return table


def _are_metals(held: dict[int, int]) -> bool:
    return bool(_metals()[list(held)].all())
