"""Which ring digits, atoms and branches keep all rings small while SMILES are written, without dead ends.

The ring that a bond closes is at most as large as the path between its ends, plus one. Upper bounds of these paths are
kept, so every ring of a smallest set of smallest rings is within the limit: the cycles that the closing bonds make are
a basis of all cycles, and none of a minimal basis is larger than the largest of any other.

Dead ends: a branch can be ended by appending atoms and closing one of its open rings at each, in some order, if each
path is short enough by then. Two orders are tried: the most urgent ring first, and the last opened first, where every
bond is a shortcut for the rings that were opened before it (fused rings). States that one of them ends are kept, and
those one atom beyond, whose last atom can close the first ring at once: what an order promises it still promises after
its own next step.

Shapes: S molecules, V tokens, L tokens in a molecule, R ring digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.generators.vocabulary import ATOM, OPEN, RING, RINGS

if TYPE_CHECKING:
    from matgen.generators.grammar import Grammar

SMALLEST = 5
"""Least limit of the size of rings. Below it several rings opened at one atom could not all be closed in time."""
AT_ONE_ATOM = 3
"""Most open rings that begin at one atom, for the same reason."""
FAR = 10_000


class RingLimits:
    """Paths from each atom to the atoms where rings were opened.

    Args:
        molecules: S.
        length: L.
        largest: Atoms of the largest ring.
        most: Most rings of a molecule.

    Raises:
        ConfigError: The limit is too small for what the grammar can promise.
    """

    def __init__(self, molecules: int, length: int, largest: float = np.inf, most: float = np.inf) -> None:
        if largest < SMALLEST or most < 0:
            raise ConfigError(
                f"largest_ring={largest:g}, most_rings={most:g}.",
                where="largest_ring, most_rings",
                fix=f"Let the largest ring have at least {SMALLEST} atoms; most_rings=0 forbids all.",
            )
        self.largest, self.most = min(largest, FAR), most
        self.paths = np.zeros((molecules, length, RINGS + 1), dtype=np.int16)
        """(S, L, R) bonds from each atom to the opener of a ring that was open when it was written; never too few."""
        self.begun = np.zeros(molecules, dtype=np.int64)
        self.opened = np.zeros((molecules, RINGS + 1), dtype=np.int64)
        """(S, R) how many rings had been opened when this one was."""

    def select(self, rows: np.ndarray) -> None:
        """Go on with these molecules only."""
        self.paths, self.begun, self.opened = self.paths[rows], self.begun[rows], self.opened[rows]

    def add_atoms(self, rows: np.ndarray, new: np.ndarray, before: np.ndarray) -> None:
        """Atoms ``new`` were appended to ``before``."""
        self.paths[rows, new] = self.paths[rows, before] + 1

    def add_digits(self, rows: np.ndarray, digit: np.ndarray, here: np.ndarray, opener: np.ndarray) -> None:
        """Ring digits were written at atoms ``here``.

        Args:
            rows: Molecules.
            digit: Of each.
            here: Atom of each.
            opener: (len(rows), R) atoms of all rings that were open before; -1 for none.
        """
        if not len(rows):
            return
        at = np.arange(len(rows))
        other = opener[at, digit]
        opens = other < 0
        self.paths[rows[opens], here[opens], digit[opens]] = 0
        self.begun[rows[opens]] += 1
        self.opened[rows[opens], digit[opens]] = self.begun[rows[opens]]
        rows, digit, here, other, opener = (a[~opens] for a in (rows, digit, here, other, opener))
        # The new bond is a shortcut to the openers of the rings that stay open.
        for ring in range(RINGS + 1):
            start = opener[:, ring]
            later = np.maximum(start, 0)
            between = np.where(other >= start, self.paths[rows, other, ring], self.paths[rows, later, digit])
            shorter = np.minimum(self.paths[rows, here, ring], between + 1)
            self.paths[rows, here, ring] = np.where(start >= 0, shorter, self.paths[rows, here, ring])

    def restrict(self, out: np.ndarray, grammar: Grammar) -> None:
        """Take from the tokens (S, V) that may come next those that would make a ring too large, now or later."""
        mine = grammar.ring_depth == grammar.depth[:, None]
        paths = self.paths[np.arange(len(out)), grammar.current].astype(np.int64)
        between = self._between(grammar.ring_atom)
        spare, count = self._spare(paths, between, mine), mine.sum(1)
        bonds = np.where(mine, grammar.ring_order, 0).max(1) + (count > 1)
        atoms, rings = grammar.kind == ATOM, grammar.kind == RING
        closes = (grammar.capacity - grammar.order)[atoms] >= bonds[:, None]
        out[:, atoms] &= (spare >= 1)[:, None] | ((spare >= 0)[:, None] & closes)
        out[:, grammar.kind == OPEN] &= (spare >= 0)[:, None]
        here = (grammar.ring_atom == grammar.current[:, None]).sum(1)
        opens = self._spare_opened(paths, between, mine) >= 0
        opens &= (spare >= 0) & (here < AT_ONE_ATOM) & (self.begun < self.most)
        closed = [self._spare_closed(paths, between, mine, ring) >= 0 for ring in range(RINGS + 1)]
        outer = [self._spare_outside(grammar, between, ring) >= 0 for ring in range(RINGS + 1)]
        shuts = np.where(mine, np.stack(closed, axis=1), np.stack(outer, axis=1) & (spare >= 0)[:, None])
        shuts &= paths + 1 <= self.largest
        digit = grammar.digit[rings]
        out[:, rings] &= np.where(grammar.ring_atom[:, digit] >= 0, shuts[:, digit], opens[:, None])

    def _between(self, opener: np.ndarray) -> np.ndarray:
        """(S, R, R) paths between the openers (S, R) of open rings; FAR where either is none."""
        place = np.maximum(opener, 0)
        # From each opener to all rings that were open when it was written: known where the other is earlier.
        known = self.paths[np.arange(len(opener))[:, None], place].astype(np.int64)
        both = np.where(place[:, :, None] >= place[:, None], known, known.transpose(0, 2, 1))
        return np.where((opener[:, :, None] >= 0) & (opener[:, None] >= 0), both, FAR)

    def _spare(self, paths: np.ndarray, between: np.ndarray, mine: np.ndarray, new: int | None = None) -> np.ndarray:
        """(S,) atoms that may be appended at will before rings must be closed one by one, in the better of two orders.

        Args:
            paths: (S, R) from the last atom to the openers.
            between: (S, R, R) between openers.
            mine: (S, R) rings to close.
            new: Ring that counts as opened after all others.
        """
        left = np.where(mine, self.largest - 1 - paths, FAR)
        ordered = np.sort(left, axis=1)
        places = np.arange(ordered.shape[1])
        urgent = (ordered - places - 1).min(1)
        age = self.opened if new is None else np.where(places == new, FAR, self.opened)
        last = np.argsort(np.where(mine, -age, FAR), axis=1, kind="stable")
        each = np.take_along_axis(left, last, axis=1)
        among = np.take_along_axis(np.take_along_axis(between, last[:, :, None], axis=1), last[:, None], axis=2)
        steps = np.where(places[:, None] < places, places - places[:, None] + 1, FAR)
        bridged = (among + steps).min(1) <= self.largest - 1
        begun = (np.take_along_axis(paths, last, axis=1) == 0)[:, 0] & mine.any(1)
        nested = np.where(bridged, FAR, each - places).min(1) - 1 - begun
        return np.asarray(np.maximum(urgent, nested))

    def _spare_opened(self, paths: np.ndarray, between: np.ndarray, mine: np.ndarray) -> np.ndarray:
        """(S,) as of :meth:`_spare` after a ring was opened at the last atom; digit 0 stands for it."""
        paths, between, mine = paths.copy(), between.copy(), mine.copy()
        between[:, 0] = between[:, :, 0] = paths
        paths[:, 0], mine[:, 0] = 0, True
        return self._spare(paths, between, mine, new=0)

    def _spare_closed(self, paths: np.ndarray, between: np.ndarray, mine: np.ndarray, ring: int) -> np.ndarray:
        """(S,) as of :meth:`_spare` after this ring was closed at the last atom, whose bond is a shortcut."""
        rest = mine.copy()
        rest[:, ring] = False
        return self._spare(np.minimum(paths, between[:, ring] + 1), between, rest)

    def _spare_outside(self, grammar: Grammar, between: np.ndarray, ring: int) -> np.ndarray:
        """(S,) as of :meth:`_spare` where the branch of this ring goes on, after the ring was closed further in."""
        rows, level = np.arange(len(between)), np.maximum(grammar.ring_depth[:, ring], 0)
        paths = self.paths[rows, grammar.stack[rows, level]].astype(np.int64)
        rest = grammar.ring_depth == level[:, None]
        rest[:, ring] = False
        return self._spare(paths, between, rest)
