from __future__ import annotations

import pytest

from matgen.constraints.allowed_elements import AllowedElements
from matgen.constraints.minimum_distance import MinDistance
from matgen.constraints.specification import DEFAULT_SPECS, build_constraints, parse_option
from matgen.errors import ConfigError


def test_names_mappings_and_objects_are_understood():
    built = build_constraints(["charge_neutral", {"min_distance": {"radius_factor": 0.6}}, MinDistance()])
    assert [c.name for c in built] == ["charge_neutral", "min_distance", "min_distance"]
    assert built[1] == MinDistance(radius_factor=0.6)


def test_the_defaults_build():
    assert [c.name for c in build_constraints(DEFAULT_SPECS)] == [next(iter(spec)) for spec in DEFAULT_SPECS]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("charge_netral", "Did you mean 'charge_neutral'"),
        ({"min_distance": {"radius_faktor": 1}}, "Did you mean 'radius_factor'"),
        ({"min_distance": {"radius_factor": "wide"}}, "min_distance.radius_factor"),
        ({"min_distance": {"radius_factor": 3}}, "radius_factor <= 1"),
        ({"density": {"low": 9, "high": 3}}, "low < high"),
        ({"formula": {}}, "formula.formula.*missing|missing|required"),
        ({"min_distance": {}, "density": {}}, "one constraint an entry"),
        ({"charge_neutral": {"oxidation_states": "icsd"}}, "charge_neutral.oxidation_states"),
        ({"space_group": {"numbers": [231]}}, "1 to 230"),
    ],
)
def test_mistakes_are_refused_with_place_and_suggestion(spec, message):
    with pytest.raises(ConfigError, match=message):
        build_constraints([spec])


def test_a_lone_value_stands_for_a_list_of_one():
    assert build_constraints([{"elements": {"forbidden": "Pb"}}]) == (AllowedElements(forbidden=("Pb",)),)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("charge_neutral", {"charge_neutral": {}}),
        ("min_distance:radius_factor=0.6:absolute=1", {"min_distance": {"radius_factor": 0.6, "absolute": 1}}),
        ("elements:forbidden=No,Cd", {"elements": {"forbidden": ["No", "Cd"]}}),
        ("charge_neutral:mixed_valence=false", {"charge_neutral": {"mixed_valence": False}}),
        ("wyckoff:required=* a", {"wyckoff": {"required": "* a"}}),
        ("elements:only=No", {"elements": {"only": "No"}}),
    ],
)
def test_options_of_the_command_line(text, spec):
    assert parse_option(text) == spec
    build_constraints([parse_option(text)])


def test_an_option_without_value_is_refused():
    with pytest.raises(ConfigError, match="'absolute' has no value"):
        parse_option("min_distance:absolute")
