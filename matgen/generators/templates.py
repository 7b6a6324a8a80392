"""Templates: known structures with their elements taken out, found by atom counts and filled with other elements.

Shapes: A atoms, S species, K placements. The species of a template are its *slots*, ordered by count.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby, permutations, product
from math import factorial, prod
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.optimize import linear_sum_assignment

from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.features.pair_distribution import Pairs, pairs
from matgen.features.similarity import dissimilarity
from matgen.features.volumes import element_counts, elemental_volumes, fit_elemental_volumes
from matgen.runtime import content_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_ORDERS = 720
"""Up to so many orders of the elements over the slots are all compared; beyond, only the best one is found."""

ORDERS_KEPT = 4
"""So many of the best orders of the elements compete for each template."""

ENOUGH_FOR_VOLUMES = 1000
"""From so many templates on, elemental volumes are fitted to the library itself."""


@dataclass(frozen=True)
class Template:
    """A structure as slots.

    Args:
        elements: (S,) atomic number that each slot has in the known structure.
        counts: (S,) atoms of each slot, ascending.
        slots: (A,) slot of each atom.
        frac: (A, 3).
        cell: (3, 3) Å.
        e_above_hull: eV/atom, NaN where unknown.
        name: Where it comes from.
    """

    elements: np.ndarray
    counts: np.ndarray
    slots: np.ndarray
    frac: np.ndarray
    cell: np.ndarray
    e_above_hull: float = float("nan")
    name: str = ""

    @classmethod
    def of(cls, structure: Structure, e_above_hull: float = float("nan"), name: str = "") -> Template:
        """The template behind an ordered structure."""
        numbers = np.asarray(structure.atomic_numbers)
        elements, slots, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        order = slot_order(elements, counts)
        place = np.empty(len(order), dtype=int)
        place[order] = np.arange(len(order))
        matrix, frac = structure.lattice.matrix, structure.frac_coords
        return cls(elements[order], counts[order], place[slots], frac, matrix, float(e_above_hull), name)

    @property
    def volume(self) -> float:
        """Å³."""
        return float(abs(np.linalg.det(self.cell)))

    def structure(self) -> Structure:
        """The known structure."""
        return Structure(Lattice(self.cell), list(self.elements[self.slots]), self.frac)

    def fill(self, elements: np.ndarray, volumes: np.ndarray) -> Structure:
        """The structure with ``elements`` (S,) on the slots, scaled by the ratio of summed elemental volumes (119,)."""
        ratio = (self.counts * volumes[elements]).sum() / (self.counts * volumes[self.elements]).sum()
        return Structure(Lattice(self.cell * ratio ** (1 / 3)), list(elements[self.slots]), self.frac)


@dataclass(frozen=True)
class Placements:
    """Ways to put one composition on templates, cheapest first.

    Args:
        template: (K,) index in the library.
        elements: (K, S) atomic number on each slot.
        counts: (S,) atoms of each slot, up to a common factor.
        cost: (K,) Σ_s counts_s d(new element, old element) per atom.
    """

    template: np.ndarray
    elements: np.ndarray
    counts: np.ndarray
    cost: np.ndarray

    def __len__(self) -> int:
        return len(self.template)

    def take(self, index: np.ndarray) -> Placements:
        """The placements at ``index``."""
        return Placements(self.template[index], self.elements[index], self.counts, self.cost[index])


class TemplateLibrary:
    """Templates, grouped by the counts of their species.

    Args:
        templates: In an order that breaks ties.
    """

    def __init__(self, templates: Sequence[Template]) -> None:
        self.templates = list(templates)
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, template in enumerate(self.templates):
            groups[tuple(template.counts.tolist())].append(i)
        self.groups = {counts: np.array(members) for counts, members in groups.items()}
        self._elements = {c: np.array([self.templates[i].elements for i in m]) for c, m in self.groups.items()}
        self._pairs: dict[int, Pairs] = {}
        self._space_groups: dict[int, int] = {}

    @classmethod
    def from_structures(
        cls, structures: Iterable[Structure], e_above_hull: Sequence[float] = (), names: Sequence[str] = ()
    ) -> TemplateLibrary:
        """A library of all ordered structures; ``e_above_hull`` in eV/atom where known."""
        structures = list(structures)
        hull = list(e_above_hull) or [float("nan")] * len(structures)
        names = list(names) or [""] * len(structures)
        return cls([Template.of(s, h, n) for s, h, n in zip(structures, hull, names, strict=True) if s.is_ordered])

    def __len__(self) -> int:
        return len(self.templates)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all templates."""
        return content_id(
            [
                [t.elements.tolist(), t.slots.tolist(), t.frac.round(6).tolist(), t.cell.round(6).tolist()]
                for t in self.templates
            ]
        )

    @cached_property
    def volumes(self) -> np.ndarray:
        """(119,) elemental volumes in Å³: of the library itself if it is large, else the shipped ones."""
        if len(self) < ENOUGH_FOR_VOLUMES:
            return elemental_volumes()
        counts = element_counts([(t.elements, t.counts) for t in self.templates])
        return fit_elemental_volumes(counts, np.array([t.volume for t in self.templates]), elemental_volumes())

    @cached_property
    def compositions(self) -> frozenset[tuple[tuple[int, int], ...]]:
        """Reduced compositions that the library knows, see :func:`reduced`."""
        return frozenset(reduced(t.elements, t.counts) for t in self.templates)

    def pairs(self, index: int) -> Pairs:
        """How a template's slots surround each other."""
        if index not in self._pairs:
            template = self.templates[index]
            self._pairs[index] = pairs(template.structure(), template.slots)
        return self._pairs[index]

    def space_group(self, index: int) -> int:
        """International number of a template's space group, 0 where the search fails."""
        if index not in self._space_groups:
            t = self.templates[index]
            # Cells grow with their elements, and what is asked for must hold at the whole tolerance then.
            self._space_groups[index] = space_group_number(t.structure(), REFINED_SYMPREC / 2) or 0
        return self._space_groups[index]

    def members(self, counts: np.ndarray, space_group: int | None = None) -> np.ndarray:
        """Indices of the templates with these counts and, where asked for, this space group."""
        found = self.groups.get(tuple(int(n) for n in counts), np.zeros(0, dtype=int))
        if space_group is not None:
            found = np.array([i for i in found if self.space_group(i) == space_group], dtype=int)
        return found

    def placements(
        self, composition: Mapping[int, int], limit: int, space_group: int | None = None, skip: int = -1
    ) -> Placements:
        """The ``limit`` cheapest placements of a composition on the templates with the same atom counts.

        For each template the elements are put on slots of equal count in the orders with the smallest
        Σ_s n_s (|ΔM| + 8 |Δχ|); see :func:`matgen.features.similarity.dissimilarity`.

        Args:
            composition: Atoms by atomic number.
            limit: K at most.
            space_group: Only templates of this space group.
            skip: A template that is left out.
        """
        elements, counts = np.array(list(composition)), np.array(list(composition.values()))
        order = slot_order(elements, counts)
        elements, counts = elements[order], counts[order]
        members = self.members(counts, space_group)
        members = members[members != skip]
        if not len(members):
            return Placements(members, np.zeros((0, len(elements)), dtype=int), counts, np.zeros(0))
        group = tuple(counts.tolist())
        rows = np.searchsorted(self.groups[group], members)
        filled, cost = _cheapest_orders(elements, counts, self._elements[group][rows])
        kept = filled.shape[1]
        first = np.argsort(cost.ravel(), kind="stable")[:limit]
        template, filled = np.repeat(members, kept)[first], filled.reshape(-1, len(elements))[first]
        return Placements(template, filled, counts, cost.ravel()[first] / counts.sum())


def joined(parts: Sequence[Placements], limit: int) -> Placements:
    """The ``limit`` cheapest of several placements of one composition in cells of different size."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    if not parts:
        none = np.zeros(0, dtype=int)
        return Placements(none, none.reshape(0, 0), none, np.zeros(0))
    template, elements, cost = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("template", "elements", "cost")
    )
    first = np.argsort(cost, kind="stable")[:limit]
    return Placements(template[first], elements[first], parts[0].counts, cost[first])


def slot_order(elements: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Order of slots: by count, then by Mendeleev number."""
    return np.lexsort((dissimilarity()[1][elements], counts))


def reduced(elements: np.ndarray, counts: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Atomic numbers with their counts in the formula unit, sorted."""
    unit = counts // np.gcd.reduce(counts)
    return tuple(sorted((int(z), int(n)) for z, n in zip(elements, unit, strict=True)))


def _cheapest_orders(elements: np.ndarray, counts: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elements by slot (T, kept, S) in the cheapest orders for templates with ``slots`` (T, S); costs (T, kept)."""
    if prod(factorial(len(list(tied))) for _, tied in groupby(counts.tolist())) > MOST_ORDERS:
        return _cheapest_order(elements, counts, slots)
    orders = elements[_orders(tuple(counts.tolist()))]
    table = dissimilarity()
    cost = np.zeros((len(slots), len(orders)))
    for s, count in enumerate(counts):
        cost += count * table[orders[:, s][None], slots[:, s][:, None]]
    kept = np.argsort(cost, axis=1, kind="stable")[:, :ORDERS_KEPT]
    return orders[kept], np.take_along_axis(cost, kept, axis=1)


def _cheapest_order(elements: np.ndarray, counts: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    filled, cost = np.empty((len(slots), 1, len(elements)), dtype=int), np.empty((len(slots), 1))
    unequal = counts[:, None] != counts
    for row, own in enumerate(slots):
        price = counts * dissimilarity()[np.ix_(elements, own)] + 1e6 * unequal
        element, slot = linear_sum_assignment(price)
        filled[row, 0, slot] = elements[element]
        cost[row, 0] = price[element, slot].sum()
    return filled, cost


@cache
def _orders(counts: tuple[int, ...]) -> np.ndarray:
    """(orders, S) every order of S elements in which only slots of equal count change places."""
    tied = [list(slots) for _, slots in groupby(range(len(counts)), key=lambda s: counts[s])]
    return np.array([sum(parts, ()) for parts in product(*(permutations(slots) for slots in tied))])
