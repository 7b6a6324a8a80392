"""Charge neutrality of cells whose elements are probabilities, differentiable in them.

For each cut of the electronegativity scale (:mod:`.neutrality_mask`) elements have a lowest and a highest charge, so
the expected atoms of a cell have a range of charges. How far zero lies outside of it, plus the atoms that a cut leaves
without a state, is the charge that is missing; the best cut counts, or the number of atoms that stand between the cell
and an element alone or an alloy. It is zero wherever the check passes; where it is zero the check may still fail, since
whole numbers need not meet. Shapes: S systems, A atoms, Z atomic numbers, K cuts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.constraints.neutrality_mask import STATES, scale
from matgen.elements import N_NUMBERS, metals, symbols

if TYPE_CHECKING:
    from torch import Tensor

    from matgen.constraints.oxidation import Rule


WORTH = 4.0
"""Elementary charges that an atom without a state, or one too many in an alloy or element, counts as."""


def missing_charge(
    probabilities: Tensor, system: Tensor, systems: int, rule: Rule, include_alloys: bool = True
) -> Tensor:
    """(S,) charge that is missing, in elementary charges per atom.

    Args:
        probabilities: (ΣA, Z) of the elements of each atom.
        system: (ΣA,) index of each atom's system.
        systems: S.
        rule: Of neutrality.
        include_alloys: Whether metals need no charges.
    """
    counts = probabilities.new_zeros(systems, N_NUMBERS).index_add(0, system, probabilities)
    lowest, highest, stateless = (torch.as_tensor(table).to(counts) for table in _charges(rule))
    misses = (counts @ lowest).clamp_min(0) + (-counts @ highest).clamp_min(0) + WORTH * (counts @ stateless)
    atoms = counts.sum(1)
    options = [misses.amin(1), WORTH * (atoms - counts.amax(1))]  # an element alone needs no charges
    if include_alloys:
        options.append(WORTH * (counts @ torch.as_tensor(_no_metal()).to(counts)))
    return torch.stack(options).amin(0).clamp_min(0) / atoms


@cache
def _charges(rule: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(Z, K) lowest and highest charge of each element by cut, 0 where it has none, and 1 there."""
    states = scale(rule).states
    none = ~states.any(-1)
    lowest = np.where(none, 0, np.where(states, STATES, STATES.max()).min(-1))
    highest = np.where(none, 0, np.where(states, STATES, STATES.min()).max(-1))
    return lowest.T, highest.T, none.T.astype(float)


@cache
def _no_metal() -> np.ndarray:
    return np.array([float(symbol not in metals()) for symbol in symbols()])
