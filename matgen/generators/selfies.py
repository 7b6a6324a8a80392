"""An autoregressive transformer on SELFIES (Krenn et al., Mach. Learn.: Sci. Technol. 1, 045024, 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.generators.base import GENERATORS
from matgen.generators.language import MoleculeLanguage
from matgen.generators.notation import selfies_numbers, selfies_sequence, selfies_to_smiles, selfies_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol

    from matgen.generators.language import Limits
    from matgen.generators.writing import Rules


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
        return selfies_to_smiles(tokens)

    def rules(self, molecules: int, limits: Limits, fragment: str | None, linker: np.ndarray) -> Rules:
        """Everything is allowed after the first atom, until the length is reached."""
        if fragment is not None:
            raise ConfigError("fragments are not held fixed in SELFIES.", where="fragment", fix="Use 'smiles'.")
        if limits.heaviest < np.inf:
            fix = "Use 'smiles', or say roles: [check]."
            raise ConfigError("no weight is kept while SELFIES are written.", where="molecular_weight", fix=fix)
        if limits.of_rings:
            fix = "Use 'smiles', or check finished molecules with ring_sizes."
            raise ConfigError("rings are not limited in SELFIES.", where="largest_ring", fix=fix)
        return SymbolRules(selfies_numbers(self.texts), molecules, self.length, limits.elements)


class SymbolRules:
    """SELFIES of S molecules begin with an atom and end within the length; else every symbol may follow.

    Args:
        numbers: (V,) atomic number of each symbol, 0 for branches, rings and the end.
        molecules: S.
        length: L, the end included.
        elements: (119,) atomic numbers that may occur.
    """

    def __init__(self, numbers: np.ndarray, molecules: int, length: int, elements: np.ndarray) -> None:
        self.atoms = (numbers > 0) & elements[numbers]
        if not self.atoms.any():
            raise ConfigError("no atom is left to write molecules with.", where="constraints", fix="Allow carbon.")
        self.possible = (numbers == 0) | self.atoms
        self.molecules, self.length, self.written = molecules, length, 0

    def mask(self) -> np.ndarray:
        """(S, V)."""
        row = self.atoms if self.written == 0 else self.possible
        if self.written >= self.length - 1:
            row = np.arange(len(row)) == 0
        return np.tile(row, (self.molecules, 1))

    def advance(self, chosen: np.ndarray) -> None:
        """Count the tokens (S,)."""
        self.written += 1

    def select(self, rows: np.ndarray) -> None:
        """Go on with these molecules only."""
        self.molecules = len(rows)
