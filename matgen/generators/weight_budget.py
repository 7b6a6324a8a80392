"""How much weight a molecule that is being written may still take up, so that it ends within a largest weight.

Shapes: S molecules, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matgen.elements import elements
from matgen.errors import ConfigError
from matgen.generators.vocabulary import ATOM, OPEN, RING

if TYPE_CHECKING:
    from matgen.generators.vocabulary import Vocabulary

HYDROGEN = 1.008
"""g/mol."""


@dataclass(frozen=True)
class WeightBudget:
    """Weights of tokens, and what must be kept back for the end.

    Args:
        heaviest: Largest molecular weight, g/mol; infinite for any.
        atoms: (V,) g/mol of each atom with the hydrogens that it names; 0 at other tokens.
        costs: (V,) g/mol that a token takes at most, with the atoms that it obliges to: a ring must be closed, a branch
            filled and left, an atom in brackets bound.
        closer: g/mol of the heaviest atom by which a molecule is brought to an end, with its hydrogens.
    """

    heaviest: float
    atoms: np.ndarray
    costs: np.ndarray
    closer: float

    @classmethod
    def of(cls, vocabulary: Vocabulary, closers: np.ndarray, heaviest: float) -> WeightBudget:
        """The budget of a vocabulary.

        Args:
            vocabulary: V tokens.
            closers: (V,) atoms by which molecules are brought to an end.
            heaviest: g/mol.

        Raises:
            ConfigError: Hardly an atom would fit.
        """
        kind, exact, room = (vocabulary.column(name) for name in ("kind", "exact", "capacity"))
        masses = np.array([0.0 if element is None else float(element.atomic_mass) for element in elements()])
        atoms = masses[vocabulary.column("number")] + HYDROGEN * vocabulary.column("hydrogens")
        closer = float((atoms + HYDROGEN * room)[closers].max())
        if heaviest < 2 * closer:
            fix = f"Allow at least {2 * closer:.0f} g/mol."
            raise ConfigError(f"no molecule is as light as {heaviest:g} g/mol.", where="molecular_weight", fix=fix)
        costs = np.where(kind == ATOM, atoms + np.where(exact, 2 * closer, HYDROGEN) * room, 0.0)
        costs[kind == OPEN], costs[kind == RING] = 2 * closer, 4 * closer
        return cls(heaviest, atoms, costs, closer)

    def spare(self, weight: np.ndarray, to_come: np.ndarray) -> np.ndarray:
        """(S,) g/mol that are free.

        Args:
            weight: (S,) g/mol so far, with hydrogen on all bonds that are left.
            to_come: (S,) most atoms that must still be written.
        """
        return self.heaviest - weight - self.closer * to_come

    def affordable(self, spare: np.ndarray) -> np.ndarray:
        """(S, V) tokens whose costs are covered."""
        return np.asarray(self.costs <= spare[:, None])
