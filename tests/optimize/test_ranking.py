"""Ranking: the geometric mean by hand, ties, doubt, domain, and the sentence beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.data.candidates import Candidates
from matgen.errors import ConfigError
from matgen.optimize.objective import Objective
from matgen.optimize.ranking import overall, rank
from matgen.optimize.reasons import charges

HULL = {"property": "e_above_hull", "goal": "minimise", "low": 0.0, "high": 0.1}
GAP = {"property": "band_gap", "goal": "target", "low": 1.0, "high": 2.0, "tolerance": 1.0}


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "e_above_hull": [0.05, 0.0, 0.2, 0.02, np.nan],
            "band_gap": [1.5, 0.3, 1.5, 1.5, 1.5],
            "band_gap_std": [0.1, 0.1, 0.1, 0.1, 0.1],
            "in_domain": [True, True, True, False, True],
        }
    )


def ranked(table, structure, objectives=(HULL, GAP), **settings):
    return rank(Candidates(table, [structure] * len(table)), objectives, **settings)


def test_order_and_desirability_by_hand(table, perovskite):
    result = ranked(table, perovskite).table.set_index("id")
    expected = {"a": (0.5 * 1) ** 0.5, "b": (1 * 0.2) ** 0.5, "c": 0.01**0.5, "d": (0.8 * 0.5) ** 0.5, "e": 0.01**0.5}
    assert result["desirability"].to_dict() == pytest.approx(expected)
    assert list(result.index) == ["a", "d", "b", "c", "e"]
    assert list(result["rank"]) == [1, 2, 3, 4, 5]
    assert result["pareto_front"].to_dict() == {"a": 2, "b": 1, "c": 3, "d": 1, "e": 4}


def test_the_floor_keeps_failures_apart(table, perovskite):
    flat = ranked(table, perovskite, floor=0.0).table.set_index("id")["desirability"]
    assert flat["c"] == flat["e"] == 0


def test_weights_shift_the_balance(table, perovskite):
    heavy = {**HULL, "weight": 20.0}
    assert ranked(table, perovskite, [heavy, GAP]).table["id"].iloc[0] == "b"


def test_ranking_does_not_depend_on_the_order_of_rows(table, perovskite):
    result = ranked(table, perovskite).table
    shuffled = ranked(table.sample(frac=1, random_state=1), perovskite).table
    pd.testing.assert_frame_equal(result, shuffled)


def test_a_hull_of_too_few_compounds_is_trusted_less(perovskite):
    table = pd.DataFrame({"id": ["a", "b"], "e_above_hull": [-1.8, 0.02], "thin_system": [True, False]})
    result = ranked(table, perovskite, [HULL]).table
    assert list(result["id"]) == ["b", "a"]
    assert list(result["desirability"]) == pytest.approx([0.8, 0.5])


def test_an_energy_that_is_hard_to_believe_counts_for_less(perovskite):
    doubts = ["implausibly low (-0.05 eV/atom): check; it did not converge", ""]
    table = pd.DataFrame({"id": ["a", "b"], "e_above_hull": [-0.05, -0.05], "implausibly_low": doubts})
    result = ranked(table, perovskite, [HULL]).table
    assert list(result["id"]) == ["b", "a"]
    assert "to be checked: implausibly low" in result["reasons"][1]
    assert "to be checked" not in result["reasons"][0]


def test_the_farther_from_the_training_data_the_less_is_trusted(perovskite):
    near = pd.DataFrame({"id": ["a", "b", "c", "d"], "band_gap": 1.5, "band_gap_std": 0.1})
    near["in_domain"] = [True, False, False, False]
    near["domain_distance"] = [0.9, 0.4, 1.5, np.nan]  # b holds an unknown element, of d nothing was measured
    result = ranked(near, perovskite, [GAP]).table.set_index("id")
    expected = {"a": 1.0, "b": 0.5, "c": 0.5**1.5, "d": 0.5}
    assert result["desirability"].to_dict() == pytest.approx(expected)
    assert list(result.index) == ["a", "b", "d", "c"]
    assert "(surrogate, outside the model's domain at 1.5 times its edge)" in result["reasons"]["c"]
    assert "(surrogate, outside the model's domain)" in result["reasons"]["b"]
    plain = ranked(near, perovskite, [{**GAP, "unfamiliar": 1.0}]).table
    assert (plain["desirability"] == 1).all()


def test_each_property_has_a_domain_of_its_own_where_one_is_given(perovskite):
    table = pd.DataFrame({"id": ["a", "b"], "band_gap": 1.5, "band_gap_std": 0.1, "in_domain": [False, True]})
    table["band_gap_in_domain"], table["band_gap_domain_distance"] = [True, False], [0.5, 2.0]
    result = ranked(table, perovskite, [GAP]).table.set_index("id")
    assert result["desirability"].to_dict() == pytest.approx({"a": 1.0, "b": 0.25})
    assert "in domain" in result["reasons"]["a"]
    assert "at 2.0 times its edge" in result["reasons"]["b"]


def test_a_predicted_energy_above_hull_has_a_domain_too(perovskite):
    table = pd.DataFrame({"id": ["a", "b"], "e_above_hull": 0.0, "e_above_hull_std": 0.0, "in_domain": [True, False]})
    assert list(ranked(table, perovskite, [HULL]).table["desirability"]) == pytest.approx([1.0, 0.5])


def test_equal_candidates_are_ordered_by_id(perovskite):
    table = pd.DataFrame({"id": ["z", "m", "a"], "e_above_hull": [0.01] * 3})
    assert list(ranked(table, perovskite, [HULL]).table["id"]) == ["a", "m", "z"]


def test_flags_count_as_numbers_and_missing_ones_as_failed(perovskite):
    table = pd.DataFrame({"id": ["a", "b", "c"], "novel": pd.array([False, True, None], dtype="boolean")})
    new = {"property": "novel", "goal": "maximise", "low": 0.0, "high": 1.0}
    result = ranked(table, perovskite, [new], floor=0.0).table
    assert list(result["id"]) == ["b", "a", "c"]
    assert list(result["desirability"]) == [1, 0, 0]


def test_no_candidates_give_no_ranks(table, perovskite):
    assert len(ranked(table[:0], perovskite)) == 0


def test_an_objective_without_a_column_is_refused_with_the_nearest_name(table, perovskite):
    with pytest.raises(ConfigError, match="Did you mean 'band_gap'"):
        ranked(table, perovskite, [{**GAP, "property": "bandgap"}])
    with pytest.raises(ConfigError, match="column of numbers 'id'"):
        ranked(table, perovskite, [{**GAP, "property": "id"}])
    with pytest.raises(ConfigError, match="nothing to rank by"):
        ranked(table, perovskite, [])
    with pytest.raises(ConfigError, match=r"objective\.low"):
        ranked(table, perovskite, [{**GAP, "low": "one"}])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=5))
def test_the_geometric_mean_lies_between_its_parts(parts):
    values, weights = zip(*parts, strict=True)
    mean = overall([np.array([v]) for v in values], weights)[0]
    assert min(values) - 1e-12 <= mean <= max(values) + 1e-12


def test_reasons_say_what_is_known_and_from_where(table, perovskite):
    table = table.assign(
        hull_reference="chgnet-0.3.0",
        thin_system=[False, True, False, False, False],
        novel=[True, True, True, False, True],
        nearest_known=["closest known composition: SrTiO3 (space group 221)", None, "x", "y", "z"],
        relax_status=["ok", "unconverged", "ok", "ok", "ok"],
    )
    result = ranked(table, perovskite).table.set_index("id")["reasons"]
    assert result["a"] == (
        "0.050 eV/atom above the chgnet-0.3.0 reference hull; band gap 1.50 ± 0.10 eV (surrogate, in domain); "
        "new structure, closest known composition: SrTiO3 (space group 221); "
        "charge neutral as Sr2+ Ti4+ O2-."
    )
    assert "On the chgnet-0.3.0 reference hull, which knows few compounds of these elements" in result["b"]
    assert "relaxation unconverged" in result["b"]
    assert "outside the model's domain" in result["d"]
    assert "known structure, y" in result["d"]
    assert result["e"].startswith("No energy above the hull;")


def test_charges_of_known_compounds(rocksalt, perovskite, diamond):
    assert charges(rocksalt) == "Na+ Cl-"
    assert charges(perovskite) == "Sr2+ Ti4+ O2-"
    assert charges(diamond) is None


def test_an_objective_object_serves_as_well_as_its_spelling(table, perovskite):
    objects = [Objective(**HULL), Objective(**GAP)]
    pd.testing.assert_frame_equal(ranked(table, perovskite, objects).table, ranked(table, perovskite).table)
