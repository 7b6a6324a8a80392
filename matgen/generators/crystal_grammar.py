"""Which tokens may come next so that a crystal can still be completed as asked: no dead ends.

A formula fits a space group if each element's atoms are a sum of multiplicities, where positions without freedom serve
once. Whether that can still be met is decided by search with memory over what is left of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import N_NUMBERS
from matgen.features.symmetric import element_order
from matgen.features.wyckoff import positions
from matgen.generators.crystal_tokens import (
    END,
    Draft,
    Question,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matgen.features.wyckoff import Position

MOST_ELEMENTS = 8
"""Elements of a formula that is not given; the sequence has room for them."""

Stock = tuple[tuple[int, int], ...]
"""Multiplicity, and how many positions without freedom have it."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of one crystal.

    Args:
        sizes: Possible numbers of atoms.
        elements: (119,) elements that may occur.
        required: Elements that must.
        unit: Atoms by element; the formula is a whole multiple. Empty where it is open.
        group: Space group, 0 where open.
        kept: Letters, as numbers, of orbits that must be among those of an element.
        kinds: Where elements are open but the orbits are not: the letters of each, in any order.
    """

    sizes: frozenset[int]
    elements: np.ndarray
    required: frozenset[int] = frozenset()
    unit: Mapping[int, int] = field(default_factory=dict)
    group: int = 0
    kept: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    kinds: tuple[tuple[int, ...], ...] = ()

    def allowed(self, draft: Draft, asked: Question, tokens: int) -> np.ndarray:
        """Which of the ``tokens`` that answer a question may come next, boolean."""
        match asked.kind:
            case 0:
                return self._elements(draft)
            case 1:
                return self._counts(draft, tokens)
            case 2:
                return self._groups(draft)
            case 3:
                return self._positions(draft)
        return np.ones(tokens, dtype=bool)

    def _elements(self, draft: Draft) -> np.ndarray:
        rank, missing = element_order(), self._missing(draft)
        least, most = self._more(draft, missing)
        found = np.zeros(N_NUMBERS, dtype=bool)
        found[END] = bool(draft.counts) and least == 0 and draft.atoms in self.sizes
        if not most:
            return found
        last = rank[draft.counts[-1][0]] if draft.counts else -1
        latest = min((rank[z] for z in missing), default=N_NUMBERS)
        usable = np.isin(np.arange(N_NUMBERS), list(self.unit)) if self.unit else self.elements
        ranks = np.sort(rank[usable & (rank > last)])
        # With an element of this rank, so many are still to come that those after it must suffice.
        last_start = ranks[len(ranks) - least] if 0 < least <= len(ranks) else (N_NUMBERS if not least else -1)
        found |= usable & (rank > last) & (rank <= min(latest, last_start))
        spare = max(self.sizes) - draft.atoms - self._reserved(missing)
        if len(missing) >= most or (spare < 1 and not self.unit):
            found[1:] &= np.isin(np.arange(1, N_NUMBERS), list(missing))
        return found

    def _more(self, draft: Draft, missing: frozenset[int]) -> tuple[int, int]:
        """How many elements must and may still join the formula."""
        room = max(self.sizes) - draft.atoms
        if self.unit:
            return len(missing), len(missing)
        if self.kinds:
            left = len(self.kinds) - len(draft.counts)
            return left, left
        return max(len(missing), int(not draft.counts)), min(room, max(MOST_ELEMENTS - len(draft.counts), len(missing)))

    def _missing(self, draft: Draft) -> frozenset[int]:
        return (self.required | set(self.unit) | set(self.kept)) - {z for z, _ in draft.counts}

    def _counts(self, draft: Draft, tokens: int) -> np.ndarray:
        found = np.zeros(tokens, dtype=bool)
        for count in self._possible_counts(draft, tokens):
            found[count - 1] = True
        return found

    def _possible_counts(self, draft: Draft, tokens: int) -> list[int]:
        if self.unit:
            whole = sum(self.unit.values())
            share = self.unit[draft.pending]
            if draft.counts:
                first, n = draft.counts[0]
                return [share * n // self.unit[first]]
            return [share * size // whole for size in self.sizes if size % whole == 0]
        if self.kinds:
            return sorted(set(self._open_kinds(draft)))
        after = Draft(counts=[*draft.counts, (draft.pending, 0)])
        missing, rank = self._missing(after), element_order()
        later = bool((self.elements & (rank > rank[draft.pending])).any())
        later = later and len(after.counts) < MOST_ELEMENTS
        least = max(1, _atoms(self.group, self.kept.get(draft.pending, ())))
        reserved = self._reserved(missing)
        found = []
        for count in range(least, tokens + 1):
            total = draft.atoms + count
            closes = not missing and total in self.sizes
            goes_on = (later or missing) and max(self.sizes) - total >= max(1, reserved)
            if closes or goes_on:
                found.append(count)
        return found

    def _reserved(self, elements: frozenset[int]) -> int:
        """Atoms that elements need at least."""
        return sum(max(1, _atoms(self.group, self.kept.get(z, ()))) for z in elements)

    def _open_kinds(self, draft: Draft) -> list[int]:
        """Atoms of the kinds of a prototype that no element has taken yet."""
        left = Counter(_atoms(self.group, kind) for kind in self.kinds)
        left.subtract(n for _, n in draft.counts)
        return list(left.elements())

    def fits(self, draft: Draft, group: int) -> bool:
        """Whether a space group has positions for the formula."""
        kept = [self.kept.get(z, ()) for z, _ in draft.counts]
        counts = [n - _atoms(group, own) for (_, n), own in zip(draft.counts, kept, strict=True)]
        taken = {k for own in kept for k in own if not positions(group)[k].free}
        return min(counts) >= 0 and _fits(tuple(sorted(counts)), _stock(group, 0, taken), _free(group, 0))

    def _groups(self, draft: Draft) -> np.ndarray:
        if self.group:
            return np.asarray(np.arange(1, 231) == self.group)
        return np.array([self.fits(draft, group) for group in range(1, 231)])

    def _positions(self, draft: Draft) -> np.ndarray:
        group = draft.group
        table = positions(group)
        letters = [table.index(at) for _, at in draft.orbits]
        element = draft.counts[draft.turn][0]
        own = [k for k, (z, _) in zip(letters, draft.orbits, strict=True) if z == element]
        due = list((Counter(self._due(draft, element)) - Counter(own)).elements())
        rest = [(n, self._due(draft, z)) for z, n in draft.counts[draft.turn + 1 :]]
        taken = {k for k in [*letters, *due, *(k for _, kept in rest for k in kept)] if not table[k].free}
        counts = tuple(sorted(n - _atoms(group, kept) for n, kept in rest))
        found = np.zeros(len(table), dtype=bool)
        for k in range(own[-1] if own else 0, len(table)):
            if k > min(due, default=len(table)) or not (table[k].free or k not in taken or k in due):
                continue
            left = draft.left - _atoms(group, due) - (0 if k in due else table[k].multiplicity)
            if left >= 0:
                used = taken | {k}
                here, everywhere = _stock(group, k, used), _stock(group, 0, used)
                found[k] = _completes(left, here, _free(group, k), everywhere, _free(group, 0), counts)
        return found

    def _due(self, draft: Draft, element: int) -> tuple[int, ...]:
        """Letters that an element must have."""
        if not self.kinds:
            return self.kept.get(element, ())
        # Elements take the kinds of their count in the order in which they are written.
        open_kinds = list(self.kinds)
        for z, n in draft.counts:
            kind = next(kind for kind in open_kinds if _atoms(self.group, kind) == n)
            if z == element:
                return kind
            open_kinds.remove(kind)
        raise ValueError(f"element {element} is not in the formula")


def _atoms(group: int, letters: tuple[int, ...] | list[int]) -> int:
    return sum(positions(group)[k].multiplicity for k in letters) if letters else 0


def _stock(group: int, start: int, taken: set[int]) -> Stock:
    """Unused positions without freedom from a letter on."""
    unused = [p.multiplicity for k, p in _fixed(group) if k >= start and k not in taken]
    return tuple(sorted(Counter(unused).items()))


@cache
def _fixed(group: int) -> tuple[tuple[int, Position], ...]:
    return tuple((k, p) for k, p in enumerate(positions(group)) if not p.free)


@cache
def _free(group: int, start: int) -> tuple[int, ...]:
    """Multiplicities of the positions with freedom from a letter on."""
    return tuple(sorted({p.multiplicity for p in positions(group)[start:] if p.free}))


@lru_cache(maxsize=200_000)
def _completes(
    left: int, here: Stock, free: tuple[int, ...], stock: Stock, all_free: tuple[int, ...], rest: tuple[int, ...]
) -> bool:
    """Whether an element's last atoms find positions from a letter on, and all further elements then too."""
    return any(_fits(rest, _without(stock, used), all_free) for used in _usable(left, here, free))


@lru_cache(maxsize=200_000)
def _fits(counts: tuple[int, ...], stock: Stock, free: tuple[int, ...]) -> bool:
    """Whether elements of these counts find positions."""
    if not counts:
        return True
    return any(_fits(counts[:-1], _without(stock, used), free) for used in _usable(counts[-1], stock, free))


def _usable(count: int, stock: Stock, free: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """How many positions of each multiplicity may be used so that positions with freedom hold the remaining atoms."""
    for used in product(*(range(min(number, count // m) + 1) for m, number in stock)):
        left = count - sum(n * m for n, (m, _) in zip(used, stock, strict=True))
        if left >= 0 and _payable(left, free):
            yield _expanded(used, stock)


def _expanded(used: tuple[int, ...], stock: Stock) -> tuple[int, ...]:
    """Multiplicity of each used position."""
    return tuple(m for n, (m, _) in zip(used, stock, strict=True) for _ in range(n))


def _without(stock: Stock, used: tuple[int, ...]) -> Stock:
    left = Counter(dict(stock))
    left.subtract(used)
    return tuple(sorted((m, n) for m, n in left.items() if n))


@lru_cache(maxsize=10_000)
def _payable(count: int, coins: tuple[int, ...]) -> bool:
    """Whether a count is a sum of multiplicities, each as often as needed."""
    return count == 0 or any(_payable(count - coin, coins) for coin in coins if coin <= count)
