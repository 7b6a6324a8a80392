"""The soft form of charge neutrality: a lower bound of the charge, differentiable in element probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals import crystals
from hypothesis import given, settings
from pymatgen.core import Composition

from matgen.constraints.charge_neutrality import ChargeNeutral
from matgen.constraints.oxidation import Rule
from matgen.constraints.soft_neutrality import missing_charge
from matgen.constraints.specification import build_acting
from matgen.data.structures import to_batch
from matgen.errors import ConfigError


def missing(formula: str) -> float:
    numbers = torch.tensor([e.Z for e, n in Composition(formula).items() for _ in range(int(n))])
    certain = torch.nn.functional.one_hot(numbers, 119).double()
    return float(missing_charge(certain, torch.zeros(len(numbers), dtype=torch.long), 1, Rule()))


@pytest.mark.parametrize(
    ("formula", "charge"), [("NaCl", 0), ("SrTiO3", 0), ("NaCl3", 0.5), ("Fe", 0), ("NiAl", 0), ("Na4Cl2", 1 / 3)]
)
def test_known_charges_per_atom(formula, charge):
    assert missing(formula) == pytest.approx(charge)


@settings(max_examples=60, deadline=None)
@given(structure=crystals())
def test_it_is_zero_wherever_the_check_passes(structure):
    batch = to_batch([structure])
    batch.probabilities = torch.nn.functional.one_hot(batch.numbers, 119).double()
    soft = float(ChargeNeutral().penalty(batch))
    assert soft >= 0
    assert soft == 0 or not ChargeNeutral().check([structure]).passed[0]


def test_its_gradient_prefers_the_missing_anion():
    logits = torch.zeros(3, 119)
    logits[0, 11] = logits[1, 11] = 20.0  # Na, Na and one atom between O and Na
    logits[2, [8, 11]] = 18.0
    logits[:, 0] = -20.0
    logits.requires_grad_()
    zero = torch.zeros(3, dtype=torch.long)
    penalty = missing_charge(logits.softmax(-1), zero, 1, Rule(), include_alloys=False)
    penalty.sum().backward()
    assert float(penalty) > 0
    assert np.isfinite(logits.grad.numpy()).all()
    assert logits.grad[2, 8] < 0 < logits.grad[2, 11]


def test_it_is_no_guidance():
    with pytest.raises(ConfigError, match="guides no positions"):
        build_acting([{"charge_neutral": {"roles": ["mask", "penalty"]}}])
