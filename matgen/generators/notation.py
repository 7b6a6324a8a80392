"""Molecules as token sequences and back: SMILES without aromatic atoms, and SELFIES.

SELFIES: Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024 (2020); every sequence of its symbols is a molecule.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import number
from matgen.generators.vocabulary import split_smiles
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol

_SELFIES_ATOM = re.compile(r"\[[=#]?([A-Z][a-z]?)(?:H\d)?(?:[+-]\d)?\]")
_RING_BOND = re.compile(r"([=#]?)(\d|%\d\d)$")


def kekule_smiles(molecule: Mol, root: int = -1) -> str:
    """SMILES in which rings have alternating bonds, without stereochemistry and isotopes.

    Args:
        molecule: A sanitised molecule.
        root: Atom to begin with; -1 for the canonical one.
    """
    from rdkit import Chem

    plain = Chem.Mol(molecule)
    Chem.Kekulize(plain, clearAromaticFlags=True)
    return str(Chem.MolToSmiles(plain, kekuleSmiles=True, isomericSmiles=False, rootedAtAtom=root))


def kekule_order(molecule: Mol) -> list[int]:
    """Place of each atom in :func:`kekule_smiles`."""
    from rdkit import Chem

    plain = Chem.Mol(molecule)
    Chem.Kekulize(plain, clearAromaticFlags=True)
    Chem.MolToSmiles(plain, kekuleSmiles=True, isomericSmiles=False)
    written = list(plain.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"])
    places = [0] * len(written)
    for place, atom in enumerate(written):
        places[atom] = place
    return places


def smiles_sequence(molecule: Mol, root: int = -1) -> list[str]:
    """Tokens of a molecule's SMILES, ring bonds written where the ring is opened.

    Raises:
        ValueError: It holds what has no token.
    """
    return opening_bonds(split_smiles(kekule_smiles(molecule, root)))


def opening_bonds(tokens: list[str]) -> list[str]:
    """Move the bond of each ring from the digit that closes it to the digit that opens it."""
    out, at = list(tokens), dict[str, int]()
    for i, token in enumerate(tokens):
        found = _RING_BOND.match(token)
        if found is None:
            continue
        bond, digit = found.groups()
        if digit not in at:
            at[digit] = i
            continue
        begin = at.pop(digit)
        out[begin], out[i] = (bond or tokens[begin].removesuffix(digit)) + digit, digit
    return out


def selfies_sequence(molecule: Mol, root: int = -1) -> list[str]:
    """Symbols of a molecule's SELFIES.

    Raises:
        ValueError: It cannot be written in SELFIES.
    """
    selfies = require("selfies", "molecules")
    try:
        return list(selfies.split_selfies(selfies.encoder(kekule_smiles(molecule, root))))
    except selfies.EncoderError as error:
        raise ValueError(" ".join(str(error).split())) from error


def selfies_tokens() -> tuple[str, ...]:
    """The end, then all symbols that SELFIES knows under its default valences."""
    selfies = require("selfies", "molecules")
    return ("", *sorted(selfies.get_semantic_robust_alphabet()))


def selfies_numbers(symbols: Sequence[str]) -> np.ndarray:
    """(V,) atomic number of each symbol; 0 for branches, rings and the end."""
    found = [_SELFIES_ATOM.fullmatch(symbol) for symbol in symbols]
    return np.array([number(match[1]) if match else 0 for match in found])


def selfies_to_smiles(symbols: Sequence[str]) -> str:
    """SMILES of a sequence of SELFIES symbols."""
    return str(require("selfies", "molecules").decoder("".join(symbols)))
