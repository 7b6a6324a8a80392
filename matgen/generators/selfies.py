"""An autoregressive transformer on SELFIES (Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024, 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matgen.generators.base import GENERATORS
from matgen.generators.language import MoleculeLanguage
from matgen.generators.notation import selfies_sequence, selfies_to_smiles, selfies_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol


@GENERATORS.register("selfies")
class Selfies(MoleculeLanguage):
    """Molecules as SELFIES, valid whatever symbols follow each other; settings as of :class:`MoleculeLanguage`."""

    name = "selfies"
    conditions = frozenset({"target"})

    @classmethod
    def all_tokens(cls) -> tuple[str, ...]:
        """The alphabet of the library under its default valences."""
        return selfies_tokens()

    @classmethod
    def write(cls, molecule: Mol, root: int = -1) -> list[str]:
        """Symbols of a molecule's SELFIES."""
        return selfies_sequence(molecule, root)

    @classmethod
    def read(cls, tokens: Sequence[str]) -> str:
        """The SMILES that SELFIES derives."""
        return selfies_to_smiles(list(tokens))
