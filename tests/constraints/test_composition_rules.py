"""Perovskite factors, alloys, prices, Pauling's order: known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Composition

from matgen.constraints.alloys import ElectronegativityMismatch, SizeMismatch
from matgen.constraints.composition import NumberOfAtoms
from matgen.constraints.decided import Decided, counts_of
from matgen.constraints.expression import Expression
from matgen.constraints.pauling_order import PaulingOrder
from matgen.constraints.perovskite import Perovskite
from matgen.constraints.price import Price
from matgen.elements import number, price, symbols
from matgen.errors import ConfigError
from matgen.features.ionic_radii import ionic_radius


def counts(formula: str) -> np.ndarray:
    return counts_of([[element.Z for element, n in Composition(formula).items() for _ in range(int(n))]])


def judged(constraint: Decided, formula: str) -> tuple[bool, float]:
    found = counts(formula)
    return bool(constraint.accepts(found)[0]), float(constraint.scores(found)[0])


def open_to(constraint, *atoms: str) -> set[str]:
    numbers = torch.tensor([[0 if a == "?" else number(a) for a in atoms]])
    mask = constraint.mask(numbers, torch.ones_like(numbers, dtype=torch.bool))[0]
    return {symbols()[z] for z in mask[atoms.index("?")].nonzero().ravel()}


@pytest.mark.parametrize(
    ("symbol", "state", "coordination", "radius"),
    [("Sr", 2, 12, 1.44), ("Ti", 4, 6, 0.605), ("O", -2, 6, 1.40), ("Fe", 2, 6, 0.78), ("Al", 3, 12, 0.535)],
)
def test_shannon_radii(symbol, state, coordination, radius):
    assert ionic_radius(symbol, state, coordination) == pytest.approx(radius)


def test_unknown_ions_have_no_radius():
    assert ionic_radius("Na", 5, 6) is None
    assert ionic_radius("Ne", 1, 6) is None


@pytest.mark.parametrize(
    ("formula", "tau"),
    [
        ("SrTiO3", 1.40 / 0.605 - 2 * (2 - (1.44 / 0.605) / np.log(1.44 / 0.605))),
        ("KMgF3", 1.33 / 0.72 - 1 + (1.64 / 0.72) / np.log(1.64 / 0.72)),
        ("CsPbI3", 2.20 / 1.19 - 1 + (1.88 / 1.19) / np.log(1.88 / 1.19)),
    ],
)
def test_bartels_tau_by_hand(formula, tau):
    assert judged(Perovskite(), formula) == (tau < 4.18, pytest.approx(tau, abs=1e-3))


def test_goldschmidt_and_octahedral_factor_of_strontium_titanate():
    (row,) = counts("SrTiO3")
    ions = Perovskite()._assignments(row)
    assert ions.goldschmidt == pytest.approx([(1.44 + 1.40) / (2**0.5 * (0.605 + 1.40))], abs=1e-3)
    assert ions.octahedral == pytest.approx([0.605 / 1.40], abs=1e-3)


@pytest.mark.parametrize("formula", ["BaTiO3", "CaTiO3", "LaAlO3", "NaMgF3", "KNbO3"])
def test_perovskites_fit(formula):
    assert judged(Perovskite(), formula)[0]


def test_reasons_name_sites_and_numbers():
    constraint = Perovskite(criteria=("tau", "octahedral"))
    assert constraint.why(counts("CaCO3")[0]) == (
        "CaCO3 does not fit as a perovskite with Ca(+2) on A and C on B: "
        "Bartel's tau is 12.63, wanted below 4.18 and r_C/r_O is 0.114, wanted 0.414 to 0.732"
    )
    assert Perovskite(others="reject").why(counts("NaCl")[0]) == "NaCl is no ABX3 compound"
    assert "no charges and ionic radii" in Perovskite(others="reject").why(counts("FeAlNi3")[0])


def test_other_compositions_pass_or_not_as_told():
    assert judged(Perovskite(), "NaCl")[0]
    assert not judged(Perovskite(others="reject"), "NaCl")[0]


def test_the_mask_leads_to_perovskites_only():
    constraint = Perovskite(others="reject")
    assert open_to(constraint, "Sr", "Ti", "O", "O", "?") == {"O"}
    assert {"Ti", "Zr", "Sn"} <= open_to(constraint, "Sr", "?", "O", "O", "O")
    assert "C" not in open_to(constraint, "Sr", "?", "O", "O", "O")
    assert open_to(constraint, "?", "?", "?") == set()
    assert "Cl" in open_to(Perovskite(), "Na", "?")


def test_size_mismatch_by_hand():
    mean = (1.28 + 1.60) / 2
    assert judged(SizeMismatch(), "CuZr") == (False, pytest.approx(100 * 0.16 / mean))
    assert judged(SizeMismatch(), "FeCoNiCrMn")[0]
    assert judged(SizeMismatch(), "Cu") == (True, 0.0)
    assert not judged(SizeMismatch(), "NaCl")[0]
    assert judged(SizeMismatch(others="pass"), "NaCl")[0]
    assert "no metallic radius is known for Cl" in SizeMismatch().why(counts("NaCl")[0])
    assert judged(ElectronegativityMismatch(high=0.2), "FeCo") == (True, pytest.approx(0.025))


def test_prices_are_those_of_the_table_by_mass():
    assert price()[number("Ti")] == pytest.approx(14.76, abs=0.01)
    share = 55.845 / (55.845 + 15.999)
    assert judged(Price(), "FeO") == (True, pytest.approx(share * price()[26] + (1 - share) * price()[8], rel=1e-4))
    assert "% of it for Au" in Price().why(counts("AuCl")[0])
    assert Price().why(counts("PmO")[0]) == "no price is known for Pm"
    assert "Au" not in open_to(Price(), "Fe", "O", "?")
    with pytest.raises(ConfigError, match="no element costs as little"):
        Price(0.001)


def test_paulings_order():
    assert judged(PaulingOrder(), "NaCl") == (True, pytest.approx(2.23))
    assert judged(PaulingOrder(), "NaO3")[0]  # neutrality is another matter
    assert not judged(PaulingOrder(), "NaF9He")[0]
    assert judged(PaulingOrder(), "NiAl")[0]
    assert not judged(PaulingOrder(include_alloys=False), "CaMg")[0]
    assert PaulingOrder(low=2.5).why(counts("NaCl")[0]) == (
        "the cations and anions of NaCl differ by 2.23 in electronegativity, less than 2.5"
    )


def test_a_number_of_atoms_masks_cells_of_other_sizes():
    numbers, real = torch.zeros(2, 4, dtype=torch.long), torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    mask = NumberOfAtoms(3, 5).mask(numbers, real)
    assert mask[0].sum() == 4 * 118
    assert not mask[1, :2].any()


@pytest.mark.parametrize(
    ("rule", "atoms", "expected"),
    [
        ('n("O") == 3 and n("Ti") == 1', ("?", "?", "?", "?", "?"), set(symbols()[1:])),
        ('n("O") == 3 and n("Ti") == 1', ("O", "O", "O", "Sr", "?"), {"Ti"}),
        ('n("O") >= 2*n("Ti")', ("Ti", "Ti", "O", "O", "?", "?"), {"O"}),
        ("n_elements == 2", ("Na", "Na", "?"), set(symbols()[1:]) - {"Na"}),
        ('x("O") < 0.5 or n_atoms > 4', ("O", "?"), set()),
        ('n("O") / n("Ti") > 1', ("O", "O", "?"), {"Ti"}),
    ],
)
def test_a_rule_on_the_composition_is_an_exact_mask(rule, atoms, expected):
    assert open_to(Expression(rule), *atoms) == expected


def test_a_rule_on_more_than_the_composition_is_no_mask():
    rule = Expression('n("O") >= 2 and density < 6')
    assert rule.available() == ("check",)
    with pytest.raises(ConfigError, match="with these settings"):
        rule.mask(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ConfigError, match="too many combinations"):
        open_to(Expression('n("O") + n("S") + n("Se") + n("Te") < 40 and n_elements < 9'), *["?"] * 40)
