"""An autoregressive transformer on SMILES whose grammar makes every molecule valid by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matgen.errors import ConfigError
from matgen.generators.base import GENERATORS
from matgen.generators.fragments import Template, TemplateRules
from matgen.generators.grammar import Grammar
from matgen.generators.language import MoleculeLanguage
from matgen.generators.notation import smiles_sequence
from matgen.generators.ring_limits import RingLimits
from matgen.generators.vocabulary import Vocabulary, smiles_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdkit.Chem import Mol

    from matgen.generators.language import Limits
    from matgen.generators.writing import Rules


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

    def rules(self, molecules: int, limits: Limits, fragment: str | None, linker: np.ndarray) -> Rules:
        """The grammar, around the template of a fragment where there is one."""
        vocabulary = Vocabulary(self.texts)
        elements = limits.elements[vocabulary.column("number")]
        rings = None
        if limits.of_rings:
            rings = RingLimits(molecules, self.length, limits.largest_ring, limits.most_rings)
        grammar = Grammar(vocabulary, molecules, self.length, elements, limits.heaviest, rings)
        if fragment is None:
            return grammar
        if limits.of_rings:
            fix = "Leave one of them out, or check finished molecules with ring_sizes."
            raise ConfigError("rings are not limited while a fragment is held fixed.", where="largest_ring", fix=fix)
        if limits.heaviest < np.inf:
            fix = "Leave one of them out, or say roles: [check]."
            raise ConfigError("no weight is kept while a fragment is held fixed.", where="molecular_weight", fix=fix)
        return TemplateRules(grammar, Template.of(fragment, vocabulary), linker)
