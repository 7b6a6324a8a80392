"""Tokens of molecular line notations, and what the grammar needs to know of each.

A SMILES token is an atom together with the bond before it (``C``, ``=O``, ``#N``, ``[NH+]``), a branch (``(``, ``)``)
or a ring digit. SMILES are written without aromatic atoms and without stereochemistry. Shapes: V tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import number

if TYPE_CHECKING:
    from collections.abc import Sequence

END = ""
"""The token that ends a molecule; always number 0."""
ATOM, OPEN, CLOSE, RING, STOP = range(5)

_TOKEN = re.compile(r"[=#]?(?:\[[^\]]+\]|Br|Cl|[BCNOPSFI*]|%\d\d|\d)|[()]")
_PARTS = re.compile(
    r"(?P<bond>[=#]?)(?:\[(?P<symbol>[A-Z][a-z]?)(?:H(?P<hydrogens>\d?))?(?P<charge>[+-]\d?)?\]|(?P<plain>.+))"
)
_ORDERS = {"": 1, "=": 2, "#": 3}
_CAPACITY = {"B": 3, "C": 4, "N": 3, "O": 2, "P": 5, "S": 6, "F": 1, "Cl": 1, "Br": 1, "I": 1}
"""Bonds of a neutral atom outside brackets, hydrogens included; sulphur and phosphorus at their highest valence."""
_BRACKETS = {
    "[N+]": 4, "[NH+]": 3, "[NH2+]": 2, "[NH3+]": 1, "[N-]": 2, "[NH-]": 1, "[O-]": 1, "[O+]": 3, "[OH+]": 2,
    "[S-]": 1, "[S+]": 3, "[SH+]": 2, "[P+]": 4, "[PH+]": 3, "[C-]": 3, "[CH-]": 2, "[CH2-]": 1, "[B-]": 4,
    "[BH-]": 3, "[Si]": 4, "[SiH]": 3, "[SiH2]": 2, "[SiH3]": 1, "[Se]": 2, "[SeH]": 1,
}  # fmt: skip
"""Bonds of atoms in brackets besides the hydrogens that they name; exactly so many, or the atom is a radical."""
RINGS = 9


@dataclass(frozen=True)
class Token:
    """One token.

    Args:
        text: As written.
        kind: ``ATOM``, ``OPEN``, ``CLOSE``, ``RING`` or ``STOP``.
        order: Of the bond to what stands before, or of the ring bond.
        capacity: Bonds that the atom may have.
        exact: Whether it must have all of them (atoms in brackets get no further hydrogens).
        number: Atomic number.
        digit: Of a ring.
        hydrogens: Named in the brackets.
    """

    text: str
    kind: int
    order: int = 0
    capacity: int = 0
    exact: bool = False
    number: int = 0
    digit: int = 0
    hydrogens: int = 0

    @classmethod
    def of(cls, text: str) -> Token:
        """The token with this text."""
        if text in {END, "(", ")"}:
            return cls(text, {END: STOP, "(": OPEN, ")": CLOSE}[text])
        parts = _PARTS.fullmatch(text)
        if parts is None:
            raise ValueError(f"{text!r} is no token")
        order = _ORDERS[parts["bond"]]
        plain = parts["plain"]
        if plain is None:
            capacity = _BRACKETS[text.removeprefix(parts["bond"])]
            named = parts["hydrogens"]
            hydrogens = 0 if named is None else int(named or 1)
            return cls(text, ATOM, order, capacity, True, number(parts["symbol"]), hydrogens=hydrogens)
        if plain.lstrip("%").isdigit():
            return cls(text, RING, order, digit=int(plain.lstrip("%")))
        return cls(text, ATOM, order, _CAPACITY[plain], False, number(plain))


def smiles_tokens() -> tuple[str, ...]:
    """All tokens of organic SMILES, the end first."""
    atoms = [*_CAPACITY, *_BRACKETS]
    room = {**_CAPACITY, **_BRACKETS}
    bonded = [f"{bond}{atom}" for atom in atoms for bond, order in _ORDERS.items() if order <= room[atom]]
    rings = [f"{bond}{digit}" for digit in range(1, RINGS + 1) for bond in ("", "=")]
    return (END, "(", ")", *bonded, *rings)


def split_smiles(smiles: str) -> list[str]:
    """Tokens of a SMILES; joined they are the SMILES again.

    Raises:
        ValueError: Some of it is no token.
    """
    tokens = _TOKEN.findall(smiles)
    if "".join(tokens) != smiles:
        raise ValueError(f"{smiles!r} holds what is no token")
    return list(tokens)


@dataclass(frozen=True)
class Vocabulary:
    """Numbered SMILES tokens with their properties as arrays (V,)."""

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each token."""
        return {text: i for i, text in enumerate(self.texts)}

    @cached_property
    def tokens(self) -> list[Token]:
        """The tokens in order."""
        return [Token.of(text) for text in self.texts]

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of tokens; a KeyError names one that is unknown."""
        return [self.index[token] for token in tokens]

    def column(self, name: str) -> np.ndarray:
        """(V,) one property of all tokens."""
        return np.array([getattr(token, name) for token in self.tokens])
