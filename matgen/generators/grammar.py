"""The grammar of SMILES with exact bookkeeping of valences: which token may come next, for many molecules at once.

Every sequence of allowed tokens that ends is one connected molecule without radicals: branches and rings are closed, no
atom has more bonds than its valence, atoms in brackets have exactly theirs, no ring joins an atom to itself or to a
neighbour. No state is a dead end, and a molecule always ends within the length.

Shapes: S molecules, V tokens, L tokens in a molecule, R ring digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.generators.vocabulary import ATOM, CLOSE, OPEN, RING, RINGS
from matgen.generators.weight_budget import HYDROGEN, WeightBudget

if TYPE_CHECKING:
    from matgen.generators.ring_limits import RingLimits
    from matgen.generators.vocabulary import Vocabulary

MARGIN = 16
"""Tokens before the last possible one at which a molecule begins to close."""
NONE = -1
_STATE = ("free", "bare", "parent", "atoms", "current", "stack", "depth", "fresh", "opened", "ring_atom", "ring_order",
          "ring_depth", "closed_to", "debt", "written", "ahead", "locked", "weight")  # fmt: skip
"""The arrays with one row a molecule."""


class Grammar:
    """States of S molecules that are being written.

    ``free`` counts the bonds that each atom may still have. Invariants that rule out dead ends: an atom that carries an
    open branch has a bond left for what follows it; while a ring that was opened in this branch is open, the last atom
    has a bond left.

    Args:
        vocabulary: Numbered tokens.
        molecules: S.
        length: L, the end included.
        allowed: (V,) tokens that may occur at all; branches, rings and the end always may.
        heaviest: Largest molecular weight, g/mol.
        rings: Limits of the size and number of rings; None for none.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        molecules: int,
        length: int,
        allowed: np.ndarray | None = None,
        heaviest: float = np.inf,
        rings: RingLimits | None = None,
    ) -> None:
        s = molecules
        self.vocabulary, self.length = vocabulary, length
        self.kind, self.order, self.digit = (vocabulary.column(name) for name in ("kind", "order", "digit"))
        self.capacity, self.exact = vocabulary.column("capacity"), vocabulary.column("exact")
        self.possible = np.ones(len(vocabulary), dtype=bool) if allowed is None else allowed | (self.kind != ATOM)
        self.closers = self._closers()
        if rings is not None and self.room < 4:
            raise ConfigError(
                "no atom has the bonds to close rings in time.", where="largest_ring", fix="Allow carbon."
            )
        self.rings = rings
        self.budget = WeightBudget.of(vocabulary, self.closers, heaviest)
        self.weight = np.zeros(s)
        """(S,) g/mol if all bonds that are left go to hydrogen."""
        self.free = np.zeros((s, length), dtype=np.int16)
        self.bare = np.zeros((s, length), dtype=bool)
        """(S, L) whether each atom must use all its bonds."""
        self.parent = np.full((s, length), NONE, dtype=np.int16)
        self.atoms = np.zeros(s, dtype=np.int64)
        self.current = np.zeros(s, dtype=np.int64)
        self.stack = np.zeros((s, length), dtype=np.int64)
        self.depth = np.zeros(s, dtype=np.int64)
        self.fresh = np.zeros(s, dtype=bool)
        """(S,) whether an atom or a ring digit came last."""
        self.opened = np.zeros(s, dtype=bool)
        """(S,) whether a branch was opened last."""
        self.ring_atom = np.full((s, RINGS + 1), NONE, dtype=np.int64)
        self.ring_order = np.zeros((s, RINGS + 1), dtype=np.int64)
        self.ring_depth = np.full((s, RINGS + 1), NONE, dtype=np.int64)
        self.closed_to = np.full((s, RINGS + 1), NONE, dtype=np.int64)
        """(S, R) atom to which the last atom closed this digit; -1 where it did not."""
        self.debt = np.zeros(s, dtype=np.int64)
        """(S,) bonds that atoms in brackets must still get."""
        self.written = np.zeros(s, dtype=np.int64)
        self.ahead = np.zeros(s, dtype=np.int64)
        """(S,) tokens that are kept for later, for example of a given fragment."""
        self.locked = np.zeros((s, RINGS + 1), dtype=bool)
        """(S, R) rings that must not be closed now, for example those of a given fragment."""

    def select(self, rows: np.ndarray) -> None:
        """Go on with these molecules only."""
        if self.rings is not None:
            self.rings.select(rows)
        for name in _STATE:
            setattr(self, name, getattr(self, name)[rows])

    def mask(self, hurried: np.ndarray | None = None) -> np.ndarray:
        """(S, V) tokens that may come next.

        Args:
            hurried: (S,) molecules that are brought to an end near the length; None for all.
        """
        rows = np.arange(len(self.atoms))
        here = self.free[rows, self.current]
        bare = self.bare[rows, self.current]
        inside = (self.ring_depth == self.depth[:, None]).sum(1)
        settled = self.fresh & (inside == 0) & (~bare | (here == 0))
        out = np.zeros((len(rows), len(self.vocabulary)), dtype=bool)
        out[:, self.kind == ATOM] = self._atoms_allowed(here, bare, inside)
        out[:, self.kind == OPEN] = ((self.atoms > 0) & ~self.opened & (here >= 2))[:, None]
        out[:, self.kind == CLOSE] = (settled & (self.depth > 0))[:, None]
        out[:, 0] = settled & (self.depth == 0)
        out[:, self.kind == RING] = self._rings_allowed(here, inside)
        out &= self.possible
        if self.rings is not None:
            self.rings.restrict(out, self)
        late = self.late()
        if self.budget.heaviest < np.inf:
            spare = self.budget.spare(self.weight, self._atoms_to_come())
            affordable = out & self.budget.affordable(spare)
            affordable[:, self.kind == RING] |= out[:, self.kind == RING] & self._closing()
            late |= (spare < self.budget.closer) | ~affordable.any(1)
            out = np.where(late[:, None], out, affordable)
        self._bring_to_an_end(out, np.flatnonzero(late if hurried is None else late & hurried))
        return out

    def advance(self, chosen: np.ndarray) -> None:
        """Write the next token (S,) of each molecule; what follows an end is of no account."""
        kind = self.kind[chosen]
        self.written += 1
        self._add_atoms(np.flatnonzero(kind == ATOM), chosen)
        self._open_branches(np.flatnonzero(kind == OPEN))
        self._close_branches(np.flatnonzero(kind == CLOSE))
        self._ring_digits(np.flatnonzero(kind == RING), chosen)

    def late(self) -> np.ndarray:
        """(S,) molecules that must now be brought to an end, lest they do not end within the length."""
        rings = (self.ring_atom != NONE).sum(1)
        needed = 1 + 3 * rings + 3 * (rings > 0) + 2 * self.depth + 3 * self.debt + self.ahead + MARGIN
        return np.asarray(self.length - self.written <= needed)

    def _closing(self) -> np.ndarray:
        """(S, V') whether each ring digit would close a ring."""
        return np.asarray(self.ring_atom[:, self.digit[self.kind == RING]] != NONE)

    def _atoms_to_come(self) -> np.ndarray:
        """(S,) most atoms that are still written when a molecule is brought to an end now."""
        rings = (self.ring_atom != NONE).sum(1)
        return np.asarray(2 * rings + 2 * (rings > 0) + 2 * self.debt + self.depth + ~self.fresh)

    def hold(self, rows: np.ndarray) -> None:
        """Let these molecules neither end nor leave this branch until :meth:`release`: digit 0 is an open ring."""
        self.ring_depth[rows, 0] = self.depth[rows]

    def release(self, rows: np.ndarray) -> None:
        """Undo :meth:`hold`."""
        self.ring_depth[rows, 0] = NONE

    def held_only(self) -> np.ndarray:
        """(S,) molecules that could go on by a single bond, with no ring open in this branch but the held one."""
        here, bare = (array[np.arange(len(self.atoms)), self.current] for array in (self.free, self.bare))
        inside = (self.ring_depth[:, 1:] == self.depth[:, None]).any(1)
        return np.asarray(self.fresh & ~inside & np.where(bare, here == 1, here >= 1))

    def _closers(self) -> np.ndarray:
        """(V,) atoms by which a molecule can always be brought to an end: singly bonded, with the most bonds."""
        chain = (self.kind == ATOM) & ~self.exact & (self.order == 1) & self.possible
        if not chain.any():
            raise ConfigError("no atom is left to write molecules with.", where="constraints", fix="Allow carbon.")
        # Four bonds close every ring; sulphur and phosphorus have more, but carbon is the plainer choice.
        self.room = 4 if (chain & (self.capacity == 4)).any() else int(self.capacity[chain].max())
        return chain & (self.capacity == self.room)

    def _atoms_allowed(self, here: np.ndarray, bare: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(S, V') of the tokens that are atoms."""
        order, capacity = self.order[self.kind == ATOM], self.capacity[self.kind == ATOM]
        spare = np.where(self.opened, here - 1, here)[:, None]
        fits = (order <= spare) & (order <= capacity)
        leaves = ~self.opened
        fits &= ~((leaves & bare)[:, None] & (order != spare))
        fits &= ~((leaves & (inside > 0))[:, None] & (capacity - order < 1))
        return np.where((self.atoms == 0)[:, None], order == 1, fits)

    def _rings_allowed(self, here: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(S, V') of the tokens that are ring digits."""
        digit, order = self.digit[self.kind == RING], self.order[self.kind == RING]
        opener = self.ring_atom[:, digit]
        busy = opener != NONE
        # Opening: the lowest digit that is free and was not closed at this very atom.
        usable = (self.ring_atom == NONE) & (self.closed_to == NONE)
        usable[:, 0] = False
        lowest = np.where(usable.any(1), usable.argmax(1), NONE)
        opens = ~busy & (digit == lowest[:, None]) & (here[:, None] >= order + 1) & self._may_open(order)
        # Closing: not to itself, to a neighbour, or twice to the same atom; written without a bond.
        tied = self.ring_order[:, digit]
        before = self.parent[np.arange(len(here)), self.current][:, None]
        joined = (self.closed_to[:, :, None] == opener[:, None]).any(1)
        others = inside[:, None] - (self.ring_depth[:, digit] == self.depth[:, None])
        closes = busy & (order == 1) & (opener != self.current[:, None]) & (opener != before) & ~joined
        closes &= (here[:, None] - tied >= np.where(others > 0, 1, 0)) & ~self.locked[:, digit]
        return (opens | closes) & (self.fresh & (self.atoms > 0))[:, None]

    def _may_open(self, order: np.ndarray) -> np.ndarray:
        """(S, V') whether rings can still be closed with the roomiest atom that is allowed."""
        if self.room >= 4:
            return np.ones((1, len(order)), dtype=bool)
        if self.room == 3:
            double = ((self.ring_atom != NONE) & (self.ring_order == 2)).any(1)
            return (order == 1) | ~double[:, None]
        if self.room == 2:
            return (order == 1) & (self.ring_atom == NONE).all(1)[:, None]
        return np.zeros((1, len(order)), dtype=bool)

    def _bring_to_an_end(self, out: np.ndarray, late: np.ndarray) -> None:
        """Leave only what closes these molecules: end, branch, ring, or one more atom."""
        kinds, part = self.kind[None], out[late]
        closing = (kinds == RING) & (self.ring_atom[late][:, self.digit] != NONE)
        settle = part & ((kinds == CLOSE) | (np.arange(len(self.kind)) == 0))
        ring, atom = part & closing, part & self.closers
        branch = part & (kinds == OPEN)
        for better in (branch, atom, ring, settle):
            part = np.where(better.any(1)[:, None], better, part)
        out[late] = part

    def _add_atoms(self, rows: np.ndarray, chosen: np.ndarray) -> None:
        token, new, before = chosen[rows], self.atoms[rows], self.current[rows]
        order = np.where(new > 0, self.order[token], 0)
        joined = new > 0
        self.free[rows[joined], before[joined]] -= order[joined].astype(np.int16)
        self.debt[rows] -= np.where(joined & self.bare[rows, before], order, 0)
        self.free[rows, new] = self.capacity[token] - order
        self.bare[rows, new] = self.exact[token]
        added = np.where(self.exact[token], 0, self.capacity[token] - order)
        replaced = np.where(joined & ~self.bare[rows, before], order, 0)
        self.weight[rows] += self.budget.atoms[token] + HYDROGEN * (added - replaced)
        self.debt[rows] += np.where(self.exact[token], self.capacity[token] - order, 0)
        self.parent[rows, new] = np.where(joined, before, NONE)
        if self.rings is not None:
            self.rings.add_atoms(rows, new, before)
        self.current[rows] = new
        self.atoms[rows] += 1
        self.fresh[rows], self.opened[rows] = True, False
        self.closed_to[rows] = NONE

    def _open_branches(self, rows: np.ndarray) -> None:
        self.stack[rows, self.depth[rows]] = self.current[rows]
        self.depth[rows] += 1
        self.fresh[rows], self.opened[rows] = False, True

    def _close_branches(self, rows: np.ndarray) -> None:
        self.depth[rows] -= 1
        self.current[rows] = self.stack[rows, self.depth[rows]]
        self.fresh[rows] = False

    def _ring_digits(self, rows: np.ndarray, chosen: np.ndarray) -> None:
        digit, here = self.digit[chosen[rows]], self.current[rows]
        closes = self.ring_atom[rows, digit] != NONE
        if self.rings is not None:
            self.rings.add_digits(rows, digit, here, self.ring_atom[rows])
        order = np.where(closes, self.ring_order[rows, digit], self.order[chosen[rows]])
        self.free[rows, here] -= order.astype(np.int16)
        self.debt[rows] -= np.where(self.bare[rows, here], order, 0)
        self.weight[rows] -= HYDROGEN * np.where(self.bare[rows, here], 0, order)
        self.closed_to[rows, digit] = np.where(closes, self.ring_atom[rows, digit], NONE)
        self.ring_atom[rows, digit] = np.where(closes, NONE, here)
        self.ring_order[rows, digit] = order
        self.ring_depth[rows, digit] = np.where(closes, NONE, self.depth[rows])
