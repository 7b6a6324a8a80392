"""Which groups of a molecule a predicted property rests on: each group left out in turn.

The contribution of a group is f(whole) - f(whole without the group), open valences filled with hydrogen; what is left
may be in several pieces (Polishchuk et al., Mol. Inform. 32, 843, 2013). It needs nothing but predictions, so it works
for every surrogate that takes SMILES. Groups are rings with what is fused to them, functional groups and chains.

Shapes: A heavy atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, rdBase

from matgen.data.molecules import to_rdkit
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure
    from rdkit.Chem import Mol

    from matgen.surrogates.base import Surrogate

PLAIN = "[#6;!$([#6]=[!#6]);!$(C(F)F)]"
"""A carbon that belongs to no functional group of its own."""

CUTS = ("[R]-!@[*]", f"{PLAIN}-!@[!#6]", f"{PLAIN}-!@[$([#6]=[!#6]),$(C#N),$(C(F)F)]")
"""Single bonds between groups: at rings, at heteroatoms, at carbonyls and the like. Nitro, carboxyl and CF3 stay."""


@dataclass(frozen=True)
class Group:
    """A group of atoms and what it does to a prediction.

    Args:
        atoms: Heavy atoms, numbered as in the canonical SMILES.
        smiles: The group, with ``*`` where it is bound.
        contribution: In the property's unit; positive where the group raises the value.
    """

    atoms: tuple[int, ...]
    smiles: str
    contribution: float


def group_contributions(surrogate: Surrogate, molecule: Structure | str) -> list[Group]:
    """Groups of a molecule by falling size of their contribution; none where it is a single group.

    A group without which no molecule is left that RDKit accepts is passed over.

    Args:
        surrogate: Of any property, for molecules.
        molecule: A molecule with its bonds, or its SMILES.
    """
    whole = Chem.Mol(to_rdkit(molecule))
    groups = groups_of(whole)
    rests = {atoms: rest for atoms in groups if (rest := without(whole, atoms))} if len(groups) > 1 else {}
    if not rests:
        return []
    mean = surrogate.predict([Chem.MolToSmiles(whole), *rests.values()]).mean  # type: ignore[list-item]
    found = [
        Group(atoms, _spelled(whole, atoms), float(mean[0] - value))
        for atoms, value in zip(rests, mean[1:], strict=True)
    ]
    return sorted(found, key=lambda group: -abs(group.contribution))


def predicted_contributions(row: Mapping[str, Any], molecule: Structure | str) -> dict[str, list[Group]]:
    """Groups of a candidate for each property that a shipped surrogate of molecules has predicted.

    Args:
        row: Columns of the candidate; a property counts as predicted where it has a column ``<property>_std``.
        molecule: The candidate.
    """
    found = {}
    for name in (str(key).removesuffix("_std") for key in row if str(key).endswith("_std")):
        surrogate = _shipped(name)
        if surrogate is not None and row.get(name) is not None and (groups := group_contributions(surrogate, molecule)):
            found[name] = groups
    return found


def atom_weights(groups: Sequence[Group], atoms: int) -> np.ndarray:
    """(A,) contribution of the group of each heavy atom, shared evenly among its atoms; 0 where it has none."""
    weights = np.zeros(atoms)
    for group in groups:
        weights[list(group.atoms)] = group.contribution / len(group.atoms)
    return weights


def groups_of(molecule: Mol) -> list[tuple[int, ...]]:
    """Atoms of each group, after cutting the bonds of :data:`CUTS`."""
    pairs = {tuple(sorted(pair)) for pattern in _patterns() for pair in molecule.GetSubstructMatches(pattern)}
    bonds = [molecule.GetBondBetweenAtoms(*pair).GetIdx() for pair in sorted(pairs)]
    if not bonds:
        return [tuple(range(molecule.GetNumAtoms()))]
    return [tuple(part) for part in Chem.GetMolFrags(Chem.FragmentOnBonds(molecule, bonds, addDummies=False))]


def without(molecule: Mol, atoms: Sequence[int]) -> str | None:
    """SMILES of what is left when atoms are taken away; None where nothing is left that RDKit accepts."""
    rest = Chem.RWMol(molecule)
    Chem.Kekulize(rest, clearAromaticFlags=True)
    gone = set(atoms)
    for bond in molecule.GetBonds():
        pair = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for kept in (i for i in pair if len(gone.intersection(pair)) == 1 and i not in gone):
            atom = rest.GetAtomWithIdx(kept)
            if atom.GetNoImplicit():  # atoms in brackets get no hydrogen by themselves
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() + 1)
    for index in sorted(gone, reverse=True):
        rest.RemoveAtom(index)
    if not rest.GetNumAtoms():
        return None
    with rdBase.BlockLogs():
        if Chem.SanitizeMol(rest, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
    return str(Chem.MolToSmiles(rest))


def _spelled(molecule: Mol, atoms: Sequence[int]) -> str:
    """SMILES of a group with a star at each cut bond."""
    inside = set(atoms)
    cut = [b.GetIdx() for b in molecule.GetBonds() if (b.GetBeginAtomIdx() in inside) != (b.GetEndAtomIdx() in inside)]
    pieces = Chem.FragmentOnBonds(molecule, cut, dummyLabels=[(0, 0)] * len(cut))
    places: list[int] = []
    parts: Any = Chem.GetMolFrags(pieces, asMols=True, sanitizeFrags=False, frags=places)
    owner = places[min(inside)]
    return str(Chem.MolToSmiles(parts[owner]))


@cache
def _patterns() -> tuple[Mol, ...]:
    return tuple(Chem.MolFromSmarts(text) for text in CUTS)


@cache
def _shipped(name: str) -> Surrogate | None:
    """The shipped surrogate of a property where there is one for molecules."""
    from matgen.surrogates.prediction import surrogate_for

    try:
        found = surrogate_for(name)
    except MatgenError:  # predicted with the user's own model, which the run does not carry
        return None
    return found if str(getattr(found, "name", "")).startswith("molecule-") else None
