"""What constraints with a mask allow, for generators that choose whole compositions at once.

Shapes: A atoms, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.constraints.allowed_elements import RequiredElements
from matgen.constraints.composition import ChemicalSystem, Formula, NumberOfAtoms
from matgen.elements import number
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request


def masking(constraints: Sequence[Constraint]) -> list[Constraint]:
    """The constraints that act as a mask."""
    return [constraint for constraint in constraints if constraint.acts_as("mask")]


def tightened(request: Request, constraints: Sequence[Constraint]) -> Request:
    """The request with the formula, chemical system and number of atoms that constraints with a mask demand.

    Such wishes leave so little open that compositions are drawn from them, not drawn at random and rejected.
    """
    formula, system, atoms = request.formula, request.chemical_system, request.n_atoms
    for constraint in masking(constraints):
        if isinstance(constraint, Formula):
            formula = formula or constraint.formula
        elif isinstance(constraint, ChemicalSystem):
            system = system or "-".join(constraint.elements)
        elif isinstance(constraint, NumberOfAtoms) and constraint.low == constraint.high:
            atoms = atoms or constraint.low
    return replace(request, formula=formula, chemical_system=system, n_atoms=atoms)


def required_elements(constraints: Sequence[Constraint]) -> np.ndarray:
    """(R,) atomic numbers that constraints with a mask require, ascending."""
    asked = [c.required for c in masking(constraints) if isinstance(c, RequiredElements)]
    return np.unique([number(symbol) for symbols in asked for symbol in symbols]).astype(int)


def open_elements(atoms: int, constraints: Sequence[Constraint]) -> np.ndarray:
    """(Z,) elements that may occur in a cell of ``atoms`` atoms of which none is determined yet."""
    numbers, real = torch.zeros(1, atoms, dtype=torch.long), torch.ones(1, atoms, dtype=torch.bool)
    allowed = torch.ones(119, dtype=torch.bool)
    allowed[0] = False
    for constraint in masking(constraints):
        allowed &= constraint.mask(numbers, real)[0].any(0)
    return allowed.numpy()


def permitted(numbers: np.ndarray, constraints: Sequence[Constraint]) -> bool:
    """Whether every constraint with a mask allows a cell of the elements (A,)."""
    return all(constraint.permits(numbers) for constraint in masking(constraints))


def require_permitted(numbers: np.ndarray, constraints: Sequence[Constraint]) -> None:
    """Raise a ConfigError where a mask forbids a composition that the user asked for."""
    for constraint in masking(constraints):
        if not permitted(numbers, [constraint]):
            raise ConfigError(
                f"the constraint {constraint.name!r} does not allow the composition that is asked for.",
                where="formula",
                fix="Relax the constraint, or ask for another composition.",
            )
