"""Molecules around a fragment: attachment points are filled, two fragments are linked, the rest stays as it is.

A template is the SMILES of the fragment with ``*`` where something is to grow. ``c1ccccc1*`` grows one substituent,
``c1cc(*)ccc1*`` two, ``c1ccccc1*.C1CCNC1*`` is linked into one molecule. Shapes: S molecules, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.generators.grammar import MARGIN
from matgen.generators.notation import kekule_smiles, opening_bonds
from matgen.generators.vocabulary import ATOM, CLOSE, split_smiles

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from matgen.generators.grammar import Grammar
    from matgen.generators.vocabulary import Vocabulary

GROW, LINK = -2, -3
"""Places that are written freely: to the end of the branch or molecule; until there are atoms enough to go on."""
LEAST = 4
"""Tokens that are kept for each place that is written freely."""
TRIES = 64


@dataclass(frozen=True)
class Template:
    """Numbered tokens, with :data:`GROW` or :data:`LINK` where something is written freely."""

    places: tuple[int, ...]
    orders: tuple[int, ...]
    """Order of the bond by which what is written freely begins; 0 at tokens."""

    @classmethod
    def of(cls, fragment: str, vocabulary: Vocabulary) -> Template:
        """The template of a fragment.

        Raises:
            ConfigError: It is no SMILES, has no attachment point, or more than two parts.
        """
        from rdkit import Chem

        molecule = Chem.MolFromSmiles(fragment)
        if molecule is None or "*" not in fragment:
            raise ConfigError(
                f"{fragment!r} is no fragment.", where="fragment", fix="Give a SMILES with * at each attachment point."
            )
        parts = Chem.GetMolFrags(molecule, asMols=True)
        if len(parts) == 1:
            return cls._from_tokens(_tokens(_grown_from(parts[0])), GROW, vocabulary)
        if len(parts) > 2 or any(Chem.MolToSmiles(part).count("*") != 1 for part in parts):
            raise ConfigError(
                f"{fragment!r} cannot be linked.",
                where="fragment",
                fix="Give two parts with one * each, joined by '.'.",
            )
        begin, end = _tokens(_point_last(parts[0])), _tokens(_point_first(parts[1]))
        if begin[-1] != "*" or end[0] != "*":
            raise ConfigError("linked fragments need single bonds to *.", where="fragment")
        return cls._from_tokens([*begin, *end[1:]], LINK, vocabulary)

    @classmethod
    def _from_tokens(cls, tokens: list[str], free: int, vocabulary: Vocabulary) -> Template:
        places, orders = [], []
        for token in tokens:
            point = token.endswith("*")
            if not point and token not in vocabulary.index:
                raise ConfigError(f"the fragment holds {token!r}, which this model cannot write.", where="fragment")
            places.append(free if point else vocabulary.index[token])
            orders.append({"": 1, "=": 2, "#": 3}[token[:-1]] if point else 0)
        return cls(tuple(places), tuple(orders))


class TemplateRules:
    """A grammar in which parts of each molecule are given.

    Args:
        grammar: Of S molecules.
        template: What is given.
        linker: (S,) fewest atoms between two linked fragments.
    """

    def __init__(self, grammar: Grammar, template: Template, linker: np.ndarray) -> None:
        s = len(grammar.atoms)
        self.grammar, self.linker = grammar, linker
        # Past the last place nothing but the end is left.
        self.places = np.array([*template.places, 0])
        self.orders = np.array([*template.orders, 0])
        # The shortest free part takes an atom, its bonds and the end of a branch.
        self.needed = np.cumsum(np.where(self.places < 0, LEAST, 1)[::-1])[::-1]
        if self.needed[0] + MARGIN > grammar.length:
            raise ConfigError(
                f"the fragment takes {len(template.places)} tokens of at most {grammar.length - MARGIN}.",
                where="fragment",
                fix="Give a smaller fragment.",
            )
        self.at = np.zeros(s, dtype=np.int64)
        self.began = np.full(s, -1)
        """(S,) atoms when the free part began; -1 outside one."""
        self.base = np.zeros(s, dtype=np.int64)

    def mask(self) -> np.ndarray:
        """(S, V): one token where it is given, else what the grammar allows."""
        place = self.places[self.at]
        self._begin(np.flatnonzero((place < 0) & (self.began < 0)))
        self.grammar.ahead[:] = self.needed[self.at]
        begins = (place < 0) & (self.grammar.atoms == self.began)
        out = self.grammar.mask(~begins)
        first = np.flatnonzero(begins)
        atoms = (self.grammar.kind == ATOM)[None] & (self.grammar.order == self.orders[self.at[first]][:, None])
        out[first] &= atoms
        given = np.flatnonzero(place >= 0)
        out[given] = False
        out[given, place[given]] = True
        return out

    def advance(self, chosen: np.ndarray) -> None:
        """Write the tokens and see whether a free part is over."""
        place = self.places[self.at]
        self.grammar.advance(chosen)
        self.at[(place >= 0) & (self.at < len(self.places) - 1)] += 1
        grown = (place == GROW) & (self.grammar.kind[chosen] == CLOSE) & (self.grammar.depth < self.base)
        self.at[grown] += 2  # the template's own end of the branch is written already
        linked = (place == LINK) & self._linked()
        self.grammar.release(linked)
        self.at[linked] += 1
        self.began[grown | linked] = -1

    def select(self, rows: np.ndarray) -> None:
        """Go on with these molecules only."""
        self.grammar.select(rows)
        for name in ("linker", "at", "began", "base"):
            setattr(self, name, getattr(self, name)[rows])

    def _begin(self, rows: np.ndarray) -> None:
        self.began[rows], self.base[rows] = self.grammar.atoms[rows], self.grammar.depth[rows]
        self.grammar.locked[rows] = self.grammar.ring_atom[rows] >= 0
        self.grammar.hold(rows[self.places[self.at[rows]] == LINK])

    def _linked(self) -> np.ndarray:
        grammar = self.grammar
        enough = (grammar.atoms - self.began >= self.linker) | grammar.late()
        return enough & (grammar.atoms > self.began) & (grammar.depth == self.base) & grammar.held_only()


def _tokens(smiles: str) -> list[str]:
    return opening_bonds(split_smiles(smiles))


def _grown_from(part: Mol) -> str:
    """SMILES that begins at an atom of the fragment, the one nearest to the front in canonical order."""
    from rdkit import Chem

    ranks = list(Chem.CanonicalRankAtoms(part))
    atoms = [atom.GetIdx() for atom in part.GetAtoms() if atom.GetAtomicNum()]
    if not atoms:
        raise ConfigError("the fragment has no atoms besides attachment points.", where="fragment")
    return kekule_smiles(part, min(atoms, key=lambda i: ranks[i]))


def _point_first(part: Mol) -> str:
    return kekule_smiles(part, next(atom.GetIdx() for atom in part.GetAtoms() if not atom.GetAtomicNum()))


def _point_last(part: Mol) -> str:
    """SMILES that ends at the attachment point, from the first root in canonical order that gives one."""
    from rdkit import Chem

    ranks = list(Chem.CanonicalRankAtoms(part))
    roots = sorted((a.GetIdx() for a in part.GetAtoms() if a.GetAtomicNum()), key=lambda i: ranks[i])
    for root in roots:
        written = kekule_smiles(part, root)
        if written.endswith("*"):
            return written
    for seed in range(TRIES):
        plain = Chem.Mol(part)
        Chem.Kekulize(plain, clearAromaticFlags=True)
        (written,) = Chem.MolToRandomSmilesVect(plain, 1, randomSeed=seed + 1, kekuleSmiles=True, isomericSmiles=False)
        if written.endswith("*"):
            return str(written)
    raise ConfigError("a linked fragment cannot be written up to its attachment point.", where="fragment")
