"""An autoregressive transformer on SMILES whose grammar makes every molecule valid by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matgen.generators.base import GENERATORS
from matgen.generators.language import MoleculeLanguage
from matgen.generators.notation import smiles_sequence
from matgen.generators.vocabulary import smiles_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol


@GENERATORS.register("smiles")
class Smiles(MoleculeLanguage):
    """Molecules as SMILES with alternating bonds; settings as of :class:`MoleculeLanguage`."""

    name = "smiles"
    conditions = frozenset({"target"})

    @classmethod
    def all_tokens(cls) -> tuple[str, ...]:
        """The tokens of :mod:`matgen.generators.vocabulary`."""
        return smiles_tokens()

    @classmethod
    def write(cls, molecule: Mol, root: int = -1) -> list[str]:
        """Tokens of a molecule's SMILES."""
        return smiles_sequence(molecule, root)

    @classmethod
    def read(cls, tokens: Sequence[str]) -> str:
        """The SMILES as written."""
        return "".join(tokens)
