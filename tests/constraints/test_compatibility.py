"""Conflicts between constraints are found before sampling, and the smallest set is named."""

from __future__ import annotations

import pytest

from matgen.constraints.compatibility import require_compatible
from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.errors import ConfigError

CONFLICTS = [
    ([{"elements": {"forbidden": ["F"]}}], Request(formula="KMgF3"), "the formula KMgF3 and elements .*F is forbidden"),
    ([{"n_elements": {"low": 2, "high": 2}}], Request(chemical_system="Li-P-S"), "Li-P-S and n_elements cannot"),
    (
        ["elements", {"required_elements": {"required": ["Pb"]}}],
        None,
        "elements and required_elements cannot.*Pb must",
    ),
    ([], Request(formula="SrTiO3", n_atoms=7), "SrTiO3 and the 7 atoms cannot .*no multiple of the 5 atoms"),
    (["charge_neutral"], Request(formula="NaO3"), "NaO3 and charge_neutral cannot be met together"),
    ([{"anonymous_formula": {"formula": "ABC3"}}, {"n_elements": {"high": 2}}], None, "at least 3 .* at most 2"),
    ([{"perovskite": {"others": "reject"}}], Request(formula="NaCl"), "NaCl and perovskite.*no ABX3"),
    ([{"perovskite": {"others": "reject"}}, {"n_elements": {"high": 2}}], None, "at least 3 .* at most 2"),
    ([{"perovskite": {"others": "reject"}}], Request(n_atoms=8), "no multiple of the 5 atoms"),
    ([{"expression": {"rule": 'n("O") == 4'}}], Request(formula="SrTiO3"), "SrTiO3 and expression.*does not keep"),
    (["price"], Request(formula="AuCl"), "AuCl and price.*USD/kg"),
    (["size_mismatch", {"required_elements": {"required": ["O"]}}], None, "O must occur and may not"),
    ([{"crystal_system": {"systems": ["cubic"]}}], Request(space_group=62), "space group Pnma and crystal_system"),
    ([{"wyckoff": {"required": ["Ti k"]}}], Request(space_group=62), "space group Pnma and wyckoff.*no space group"),
    ([{"density": {"low": 8}}, {"density": {"high": 5}}], None, "at least 8 and at most 5"),
    (
        ["elements", {"charge_neutral": {"include_alloys": False}}],
        Request(chemical_system="Na-K"),
        "^constraints: the chemical system Na-K and charge_neutral cannot .*no composition of up to 20 atoms",
    ),
    (
        [
            "charge_neutral",
            {"pauling_order": {"include_alloys": False}},
            {"elements": {"only": ["Li", "Na"]}},
            {"n_elements": {"low": 2}},
        ],
        Request(n_atoms=4),
        "^constraints: pauling_order and elements and n_elements cannot",
    ),
    (["supply_risk"], Request(chemical_system="Nd-O"), "the chemical system Nd-O and supply_risk cannot"),
]


@pytest.mark.parametrize(("specs", "request_", "message"), CONFLICTS)
def test_a_conflict_is_named(specs, request_, message):
    with pytest.raises(ConfigError, match=message):
        require_compatible(build_constraints(specs), request_)


GOLD = {"required_elements": {"required": ["Au"]}}
BOUNDED = [
    ([{"price": {"high": 5}}, GOLD, "min_distance"], "price and required_elements cannot be met together"),
    (["charge_neutral", {"price": {"high": 5}}, GOLD], "price and required_elements cannot be met together"),
    ([{"expression": {"rule": 'n("O") > 3 and n("O") < 2'}}, "elements"], "expression cannot be met"),
    ([{"expression": {"rule": 'n("O") > 24'}}], "expression cannot be met"),
]


@pytest.mark.parametrize(("specs", "named"), BOUNDED)
def test_in_cells_of_a_known_size_everything_that_elements_decide_is_searched(specs, named):
    with pytest.raises(ConfigError, match=f"^constraints: {named}: no composition of up to 20 atoms"):
        require_compatible(build_constraints(specs), largest=20)


def test_gold_for_a_price_that_a_cell_can_have_passes():
    require_compatible(build_constraints(["charge_neutral", {"price": {"high": 9000}}, GOLD]), largest=20)


def test_larger_cells_may_hold_what_small_ones_cannot():
    rule = build_constraints([{"expression": {"rule": 'n("O") > 24'}}])
    require_compatible(rule)
    require_compatible(rule, largest=52)
    with pytest.raises(ConfigError, match="no composition of up to 12 atoms"):
        require_compatible(rule, Request(n_atoms=12))


def test_only_what_conflicts_is_named():
    specs = [
        "charge_neutral",
        {"n_elements": {"low": 2, "high": 4}},
        {"elements": {"forbidden": ["F"]}},
        "min_distance",
    ]
    with pytest.raises(ConfigError) as caught:
        require_compatible(build_constraints(specs), Request(formula="KMgF3", n_atoms=10))
    assert str(caught.value.what).startswith("the formula KMgF3 and elements cannot be met together")


@pytest.mark.parametrize(
    ("specs", "request_"),
    [
        ([], None),
        ([{"expression": {"rule": 'n("O") == 6'}}], Request(formula="SrTiO3")),
        ([{"n_atoms": {"low": 10, "high": 12}}], Request(formula="SrTiO3")),
        (["perovskite", {"crystal_system": {"systems": ["cubic"]}}], Request(formula="SrTiO3", space_group=221)),
        (["elements", "charge_neutral", {"n_elements": {"low": 3, "high": 3}}], Request(formula="SrTiO3", n_atoms=10)),
        (["charge_neutral", {"required_elements": {"required": ["O"]}}], Request(chemical_system="Li-P-O", n_atoms=8)),
        ([{"anonymous_formula": {"formula": "ABC3"}}, {"n_atoms": {"low": 4, "high": 12}}], None),
        (["charge_neutral"], Request(chemical_system="Na-K")),  # an alloy
        (["charge_neutral"], Request(formula="LiFePO4")),
        (["charge_neutral", "pauling_order"], Request(formula="Li3PO4")),
        (["charge_neutral", {"n_elements": {"low": 5, "high": 5}}, "pauling_order"], Request(n_atoms=20)),
    ],
)
def test_what_can_be_met_passes(specs, request_):
    require_compatible(build_constraints(specs), request_)


def test_sampling_refuses_a_conflict_before_it_begins():
    from matgen.generators.sampling import sample

    with pytest.raises(ConfigError, match="KMgF3 and elements cannot be met together"):
        sample("flow-mp20", 1, formula="KMgF3", constraints=[{"elements": {"forbidden": ["F"]}}])


def test_a_workflow_with_a_conflict_is_refused():
    from matgen.workflow.kinds.discover import Discover

    entry = {"model": "flow-mp20", "formula": "KMgF3", "constraints": [{"elements": {"forbidden": ["F"]}}]}
    with pytest.raises(ConfigError, match="KMgF3 and elements cannot be met together"):
        Discover.model_validate({"sample": [entry]}).check()
