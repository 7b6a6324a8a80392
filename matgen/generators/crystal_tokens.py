"""A symmetric crystal as a sequence of tokens: formula, space group, orbits, volume, shape of the cell, coordinates.

A number is a token for its bin and an offset within it. What each place of the sequence asks for follows from the
tokens before it, and the network is told: a :class:`Question` stands beside each place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pymatgen.core import Lattice

from matgen.features.conventional_cell import cell_parameters, free_angles, free_lengths
from matgen.features.symmetric import Orbit, SymmetricCrystal, canonical_order
from matgen.features.wyckoff import centring, positions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matgen.features.wyckoff import Position

ELEMENT, COUNT, GROUP, POSITION, VOLUME, RATIO, ANGLE, COORDINATE = range(8)
"""What a place asks for."""

BINS = 120
"""Bins of a number; a coordinate of 1/4, 1/3 or 1/2 lies in the middle of one."""

LIMITS = {VOLUME: (log(3.0), log(200.0)), RATIO: (-2.5, 2.5), ANGLE: (40.0, 140.0)}
"""Range of the logarithm of Å³ an atom, of the logarithm of a ratio of lengths, and of angles in degrees."""

FLAT = 0.01
"""Volume of a cell with shortest edges of 1 below which its angles count as impossible."""

END = 0
"""Token after the last element of the formula."""


class Question(NamedTuple):
    """What is asked at a place.

    Args:
        kind: One of the constants above.
        element: Atomic number that it is about, 0 for none.
        position: Token of the Wyckoff position that it is about, or of the one before; 0 for none.
        slot: Which ratio, angle or coordinate.
        atoms: Atoms that are written in the formula, or that are left of the element.
    """

    kind: int
    element: int = 0
    position: int = 0
    slot: int = 0
    atoms: int = 0


@cache
def first_token(kind: int) -> int:
    """The first token of a kind; those of a kind follow each other. Counts come last, as many as atoms."""
    total = sum(len(positions(group)) for group in range(1, 231))
    sizes = {ELEMENT: 119, GROUP: 230, POSITION: total, VOLUME: BINS, RATIO: BINS, ANGLE: BINS, COORDINATE: BINS}
    before = list(sizes) if kind == COUNT else list(sizes)[: list(sizes).index(kind)]
    return sum(sizes[other] for other in before)


def vocabulary(max_atoms: int) -> int:
    """Number of tokens."""
    return first_token(COUNT) + max_atoms


@cache
def position_tokens(group: int) -> range:
    """Tokens of the Wyckoff positions of a space group, in the order of their letters."""
    start = first_token(POSITION) + sum(len(positions(g)) for g in range(1, group))
    return range(start, start + len(positions(group)))


@cache
def position_of(token: int) -> Position:
    """The Wyckoff position that a token stands for."""
    group = next(g for g in range(1, 231) if token in position_tokens(g))
    return positions(group)[token - position_tokens(group).start]


@dataclass
class Draft:
    """A crystal as far as it is written, token by token.

    Args:
        counts: Atomic number and atoms in the primitive cell of each element.
        pending: Element whose count is asked for, 0 for none.
        closed: Whether the formula is complete.
        group: Space group, 0 while open.
        orbits: Element and position of each orbit.
        left: Atoms of the current element that have no position yet.
        values: Numbers of the cell and the coordinates, in bins.
    """

    counts: list[tuple[int, int]] = field(default_factory=list)
    pending: int = 0
    closed: bool = False
    group: int = 0
    orbits: list[tuple[int, Position]] = field(default_factory=list)
    turn: int = 0
    left: int = 0
    values: list[float] = field(default_factory=list)
    slots: list[Question] = field(default_factory=list)

    @property
    def atoms(self) -> int:
        """Atoms of the formula so far."""
        return sum(n for _, n in self.counts)

    def question(self) -> Question | None:
        """What is asked next; None when the crystal is complete."""
        if not self.closed:
            return Question(COUNT if self.pending else ELEMENT, element=self.pending, atoms=self.atoms)
        if not self.group:
            return Question(GROUP, atoms=self.atoms)
        if self.turn < len(self.counts):
            last = self._token(self.orbits[-1][1]) if self.orbits else 0
            return Question(POSITION, self.counts[self.turn][0], last, atoms=self.left)
        return self.slots[len(self.values)] if len(self.values) < len(self.slots) else None

    def write(self, token: int, offset: float = 0.0) -> None:
        """Answer the question."""
        asked = self.question()
        if asked is None:
            raise ValueError("the crystal is complete")
        match asked.kind:
            case 0 if token == END:
                self.closed = True
            case 0:
                self.pending = token
            case 1:
                self.counts.append((self.pending, token - first_token(COUNT) + 1))
                self.pending = 0
            case 2:
                self.group = token - first_token(GROUP) + 1
                self.left = self.counts[0][1]
            case 3:
                self._place(positions(self.group)[token - position_tokens(self.group).start])
            case _:
                self.values.append(token - first_token(asked.kind) + offset)

    def crystal(self) -> SymmetricCrystal:
        """What has been written.

        Raises:
            ValueError: No cell has the angles.
        """
        numbers = iter(zip(self.slots, self.values, strict=True))
        volume = exp(_number(*next(numbers))) * self.atoms * _order(self.group)
        ratios = [exp(_number(*next(numbers))) for _ in free_lengths(self.group)[1:]]
        angles = [_number(*next(numbers)) for _ in free_angles(self.group)]
        shape = Lattice.from_parameters(*cell_parameters(self.group, [*ratios, 1.0], angles))
        if not shape.volume > FLAT:
            raise ValueError("no cell has the angles")
        last = (volume / shape.volume) ** (1 / 3)
        cell = cell_parameters(self.group, [*(ratio * last for ratio in ratios), last], angles)
        orbits = [Orbit(z, p.letter, tuple(_number(*next(numbers)) for _ in p.free)) for z, p in self.orbits]
        return SymmetricCrystal(self.group, canonical_order(self.group, orbits), cell)

    def _place(self, at: Position) -> None:
        self.orbits.append((self.counts[self.turn][0], at))
        self.left -= at.multiplicity
        if not self.left:
            self.turn += 1
            if self.turn < len(self.counts):
                self.left = self.counts[self.turn][1]
            else:
                self.slots = list(self._slots())

    def _slots(self) -> Iterator[Question]:
        """The questions for numbers, in order."""
        yield Question(VOLUME)
        yield from (Question(RATIO, slot=k) for k in range(len(free_lengths(self.group)) - 1))
        yield from (Question(ANGLE, slot=k) for k in range(len(free_angles(self.group))))
        for z, at in self.orbits:
            yield from (Question(COORDINATE, z, self._token(at), axis) for axis in at.free)

    def _token(self, at: Position) -> int:
        return position_tokens(self.group)[positions(self.group).index(at)]


class Place(NamedTuple):
    """One place of a sequence."""

    token: int
    offset: float
    question: Question


def encode(crystal: SymmetricCrystal) -> list[Place]:
    """The sequence of a crystal.

    Raises:
        ValueError: The cell lies outside of :data:`LIMITS`.
    """
    draft, places = Draft(), []
    for token, offset in _answers(crystal):
        asked = draft.question()
        if asked is None:
            raise ValueError("the orbits do not add up to the formula")
        places.append(Place(token, offset, asked))
        draft.write(token, offset)
    return places


def _answers(crystal: SymmetricCrystal) -> Iterator[tuple[int, float]]:
    group = crystal.group
    for element, count in crystal.counts.items():
        yield element, 0.0
        yield first_token(COUNT) + count - 1, 0.0
    yield END, 0.0
    yield first_token(GROUP) + group - 1, 0.0
    letters = [at.letter for at in positions(group)]
    for orbit in crystal.orbits:
        yield position_tokens(group)[letters.index(orbit.letter)], 0.0
    volume = Lattice.from_parameters(*crystal.cell).volume / _order(group) / sum(crystal.counts.values())
    yield _binned(VOLUME, log(volume))
    lengths = [crystal.cell[k] for k in free_lengths(group)]
    for length in lengths[:-1]:
        yield _binned(RATIO, log(length / lengths[-1]))
    for k in free_angles(group):
        yield _binned(ANGLE, crystal.cell[3 + k])
    for orbit in crystal.orbits:
        for value in orbit.values:
            yield _binned(COORDINATE, value)


def _binned(kind: int, number: float) -> tuple[int, float]:
    if kind == COORDINATE:
        place = number % 1.0 * BINS
    else:
        low, high = LIMITS[kind]
        place = (number - low) / (high - low) * (BINS - 1)
        if not 0 <= place <= BINS - 1:
            raise ValueError("the cell is flatter or larger than the tokens can say")
    middle = round(place)
    return first_token(kind) + middle % BINS, place - middle


def _number(asked: Question, place: float) -> float:
    if asked.kind == COORDINATE:
        return place / BINS % 1.0
    low, high = LIMITS[asked.kind]
    return low + place / (BINS - 1) * (high - low)


@cache
def _order(group: int) -> int:
    """Primitive cells in the conventional one."""
    return round(1 / abs(float(np.linalg.det(centring(group)))))
