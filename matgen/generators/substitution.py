"""New compositions on known templates: ions replaced by similar ions so that charges add up to zero.

Hautier et al. (Inorg. Chem. 50, 656, 2011) draw each ion given the ion that it replaces, and keep what is neutral. Here
the neutral ones are drawn directly: first the charges of all slots from their exact joint probability, then an ion
for each charge.

Shapes: S species, I ions, C neutral sets of charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.oxidation import Rule, nearest_neutral
from matgen.elements import N_NUMBERS, elements, metals, symbols
from matgen.features.similarity import dissimilarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.generators.templates import Template

ION_RANGE = 10.0
"""Dissimilarity (see :mod:`matgen.features.similarity`) at which an ion is 1/e as likely to replace another of the same
charge."""

CHARGE_RANGE = 0.7
"""Difference of charge at which an ion is 1/e as likely."""

ATOM_RANGE = 6.0
"""As ``ION_RANGE``, in compounds of metals."""

WIDEST_CHARGE = 3
"""Charges differ by less than this from those of the template."""


@dataclass(frozen=True)
class Ions:
    """All ions with a common oxidation state.

    Args:
        numbers: (I,) atomic numbers.
        charges: (I,).
    """

    numbers: np.ndarray
    charges: np.ndarray


@cache
def ions() -> Ions:
    """Ions in the common oxidation states of pymatgen's table."""
    pairs = [(z, q) for z, el in enumerate(elements()) if el is not None for q in el.common_oxidation_states if q != 0]
    numbers, charges = np.array(pairs).T
    return Ions(numbers, charges)


@cache
def metal_atoms() -> np.ndarray:
    """(119,) True at elements that smact counts as metals."""
    return np.array([symbol in metals() for symbol in symbols()])


class Substitution:
    """Draws elements for the slots of a template.

    Args:
        allowed: (119,) elements that may occur.
        required: (R,) elements of which each gets a slot first.
    """

    def __init__(self, allowed: np.ndarray, required: Sequence[int] | np.ndarray = ()) -> None:
        self.allowed, self.required = allowed, np.asarray(required, dtype=int)
        self._charges: dict[tuple[tuple[int, ...], ...], ChargeSets | None] = {}

    def draw(self, template: Template, rng: np.random.Generator) -> np.ndarray | None:
        """(S,) distinct elements for the slots, or None where this draw failed."""
        if len(self.required) > len(template.elements):
            return None
        places = self._places(template, rng)
        charges = self._charge_sets(template, places)
        if charges is not None:
            filled: np.ndarray | None = charges.draw(rng)
        elif metal_atoms()[template.elements].all():
            filled = self._draw_metals(template, places, rng)
        else:
            return None
        return filled if filled is not None and len(set(filled.tolist())) == len(filled) else None

    def _places(self, template: Template, rng: np.random.Generator) -> tuple[int, ...]:
        """A slot for each required element; slots of similar elements are likelier."""
        if not len(self.required):
            return ()
        choices = np.array(list(permutations(range(len(template.elements)), len(self.required))))
        far = dissimilarity()[template.elements[choices], self.required].sum(axis=1) / ION_RANGE
        weights = np.exp(far.min() - far)
        return tuple(choices[rng.choice(len(choices), p=weights / weights.sum())].tolist())

    def _open(self, template: Template, places: tuple[int, ...]) -> np.ndarray:
        """(S, 119) elements that may come on each slot, required ones on theirs alone."""
        found = np.tile(self.allowed, (len(template.elements), 1))
        found[:, self.required] = False
        for place, element in zip(places, self.required, strict=True):
            found[place] = np.arange(N_NUMBERS) == element
        return found & self.allowed

    def _draw_metals(self, template: Template, places: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
        weights = np.exp(-dissimilarity()[template.elements] / ATOM_RANGE)
        weights = weights * (self._open(template, places) & metal_atoms())
        if not weights.any(axis=1).all():
            return None
        return np.array([rng.choice(N_NUMBERS, p=row / row.sum()) for row in weights])

    def _charge_sets(self, template: Template, places: tuple[int, ...]) -> ChargeSets | None:
        key = (*zip(template.elements.tolist(), template.counts.tolist(), strict=True), places)
        if key not in self._charges:
            known = formal_charges(template)
            allowed = self._open(template, places)
            self._charges[key] = None if known is None else ChargeSets.of(template, known, allowed)
        return self._charges[key]


@dataclass(frozen=True)
class ChargeSets:
    """The neutral ways to charge a template's slots.

    Args:
        charges: (C, S).
        probability: (C,).
        affinity: (S, I) how readily each ion replaces the one on each slot.
    """

    charges: np.ndarray
    probability: np.ndarray
    affinity: np.ndarray

    @classmethod
    def of(cls, template: Template, known: np.ndarray, allowed: np.ndarray) -> ChargeSets | None:
        """All sets for a template whose slots have the charges ``known`` (S,) and may hold ``allowed`` (S, 119)."""
        table = ions()
        far = dissimilarity()[np.ix_(template.elements, table.numbers)] / ION_RANGE
        jump = np.abs(table.charges - known[:, None])
        affinity = np.exp(-far - jump / CHARGE_RANGE) * allowed[:, table.numbers]
        affinity[(jump >= WIDEST_CHARGE) | (np.sign(table.charges) != np.sign(known)[:, None])] = 0.0
        options = [np.unique(table.charges[row > 0]) for row in affinity]
        sets = [c for c in product(*options) if np.dot(c, template.counts) == 0]
        if not sets:
            return None
        charges = np.array(sets)
        shares = (affinity[None] * (table.charges == charges[:, :, None])).sum(axis=2).prod(axis=1)
        return cls(charges, shares / shares.sum(), affinity)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(S,) elements of ions whose charges add up to zero."""
        charges = self.charges[rng.choice(len(self.charges), p=self.probability)]
        weights = self.affinity * (ions().charges == charges[:, None])
        return np.array([ions().numbers[rng.choice(len(row), p=row / row.sum())] for row in weights])


def formal_charges(template: Template) -> np.ndarray | None:
    """(S,) formal charge of each slot in the known structure; None where no single state for each makes it neutral."""
    counts = {symbols()[z]: int(n) for z, n in zip(template.elements, template.counts, strict=True)}
    for table in ("pymatgen_sp", "icsd24"):
        found = nearest_neutral(counts, Rule(table=table, mixed_valence=False))
        if found is not None and found[0] == 0:
            return np.array([found[1][symbols()[z]][0] for z in template.elements])
    return None
