"""Supply risk and crustal abundance of elements."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.constraints.element_limits import CrustalAbundance, SupplyRisk
from matgen.elements import number, supply_risk
from matgen.errors import ConfigError


def test_a_rare_earth_magnet_fails_the_supply_risk_and_rock_salt_passes(rocksalt):
    magnet = Structure(Lattice.cubic(4), ["Nd", "Fe"], [[0] * 3, [0.5] * 3])
    verdict = SupplyRisk().check([magnet, rocksalt])
    assert verdict.passed.tolist() == [False, True]
    assert "of Nd is 9500, above the highest allowed 2500" in verdict.reasons[0]


def test_gold_is_too_rare_and_silicon_is_not(diamond):
    gold = Structure(Lattice.cubic(3), ["Au"], [[0] * 3])
    verdict = CrustalAbundance().check([gold, diamond])
    assert verdict.passed.tolist() == [False, True]
    assert verdict.reasons[0] == (
        "the abundance in the Earth's crust of Au is 0.004 mg/kg, below the lowest allowed 1 mg/kg"
    )


def test_an_element_without_a_tabulated_value_is_not_allowed():
    unknown = Structure(Lattice.cubic(4), ["Og"], [[0] * 3])
    assert np.isnan(supply_risk()[number("Og")])
    assert SupplyRisk().check([unknown]).reasons[0] == "no supply risk (HHI of production) is known for Og"


def test_a_mask_holds_exactly_the_elements_that_pass():
    limit = SupplyRisk(high=4000)
    mask = limit.mask(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool))[0, 0]
    assert torch.equal(mask, torch.as_tensor(np.nan_to_num(supply_risk(), nan=np.inf) <= 4000))


def test_a_limit_that_leaves_no_element_is_refused():
    with pytest.raises(ConfigError, match="no element keeps the limit"):
        CrustalAbundance(low=1e9)
