"""A molecule in words: formula, rings, hydrogen bonds, and which of its groups drive the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdkit.Chem import rdMolDescriptors

from matgen.data.molecules import smiles_of, to_rdkit
from matgen.data.property import PROPERTIES
from matgen.data.structures import formula_of
from matgen.surrogates.fragment_attribution import predicted_contributions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core import Structure

MOST = 4
"""Groups that are named."""


def molecule_sentences(row: Mapping[str, Any], structure: Structure) -> list[str]:
    """Sentences about a molecule, each true by computation.

    Args:
        row: The candidate's columns, for its formula.
        structure: A molecule.
    """
    formula, molecule = row.get("formula") or formula_of(structure), to_rdkit(structure)
    rings, turns = rdMolDescriptors.CalcNumRings(molecule), rdMolDescriptors.CalcNumRotatableBonds(molecule)
    donors, acceptors = rdMolDescriptors.CalcNumLipinskiHBD(molecule), rdMolDescriptors.CalcNumLipinskiHBA(molecule)
    weight = structure.composition.weight
    return [
        f"{formula} is a molecule of {molecule.GetNumHeavyAtoms()} heavy atoms and {weight:.1f} g/mol, "
        f"with the SMILES {smiles_of(structure)}.",
        f"The molecule {formula} has {_counted(rings, 'ring')} and {_counted(turns, 'rotatable bond')}.",
        f"The molecule {formula} has {_counted(donors, 'N-H or O-H bond')} and {_counted(acceptors, 'N or O atom')}.",
    ]


def group_sentences(row: Mapping[str, Any], structure: Structure) -> dict[str, str]:
    """A sentence for each property that a shipped surrogate predicted: what leaving out each group changes.

    Args:
        row: The candidate's columns.
        structure: A molecule.
    """
    found = {}
    for name, groups in predicted_contributions(row, structure).items():
        prop = PROPERTIES[name]
        words = [
            f"{g.smiles} {'raises' if g.contribution > 0 else 'lowers'} it by {abs(g.contribution):.2g} {prop.unit}"
            for g in groups[:MOST]
        ]
        what = f"the predicted {prop.label.lower()} of {row.get('formula') or formula_of(structure)}"
        rest = ", the other groups less" if len(groups) > MOST else ""
        found[name] = f"By leaving out one group of atoms at a time from {what}, {_listed(words)}{rest}."
    return found


def _counted(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 else 's'}"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
