"""Which constraint acts where: named in its spelling, refused at load where it cannot."""

from __future__ import annotations

import pytest

from matgen.constraints.minimum_distance import MinDistance
from matgen.constraints.specification import build_acting, build_constraints, parse_option, specify
from matgen.errors import ConfigError
from matgen.generators.diffusion import Diffusion
from matgen.generators.masks import masking
from matgen.generators.retrieval import Retrieval
from matgen.workflow.sections import SampleSection


def test_roles_limit_where_a_constraint_acts():
    (both,) = build_acting(["elements"])
    (checking,) = build_acting([{"elements": {"forbidden": "Pb", "roles": ["check"]}}])
    assert both.acts_as("mask")
    assert both.acts_as("check")
    assert checking.acts_as("check")
    assert not checking.acts_as("mask")
    assert masking([both, checking]) == [both]


def test_roles_survive_spelling_and_building():
    (near,) = build_acting([{"min_distance": {"radius_factor": 0.6, "roles": ["penalty", "check"]}}])
    assert near == MinDistance(radius_factor=0.6, acting=("penalty", "check"))
    assert build_acting([specify(near)]) == (near,)
    assert "roles" not in specify(MinDistance())["min_distance"]
    assert build_acting([parse_option("min_distance:roles=penalty")])[0].acting == ("penalty",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"charge_neutral": {"roles": ["project"]}}, "'charge_neutral' cannot act as 'project'"),
        ({"density": {"roles": ["mask"]}}, "'density' cannot act as 'mask'"),
        ({"density": {"roles": ["penality"]}}, "Did you mean 'penalty'"),
        ({"density": {"roles": []}}, "no role is named"),
        ({"dimensionality": {"wanted": [2]}}, "'dimensionality' cannot act as"),
        (
            {"coordination": {"method": "crystal_nn", "roles": ["penalty"]}},
            "'coordination' cannot act as 'penalty' with these settings",
        ),
        ({"space_group": {"numbers": [62], "roles": ["mask"]}}, "'space_group' cannot act as 'mask'"),
    ],
)
def test_a_role_that_is_lacking_is_refused_at_load(spec, message):
    with pytest.raises(ConfigError, match=message):
        build_acting([spec])
    with pytest.raises(ValueError, match=message):
        SampleSection(model="flow-mp20", constraints=[spec])


def test_a_screen_needs_the_role_check():
    with pytest.raises(ConfigError, match="acts as 'check' here"):
        build_constraints([{"density": {"roles": ["penalty"]}}])


def test_a_generator_refuses_a_constraint_that_it_cannot_use():
    near = build_acting(["min_distance", "elements"])
    Diffusion.require_usable(near)
    with pytest.raises(ConfigError, match="'min_distance' is able to act as check, penalty"):
        Retrieval.require_usable(near)
    Retrieval.require_usable(build_acting(["elements", {"min_distance": {"roles": ["check"]}}]))
    with pytest.raises(ConfigError, match="'density' is asked to act as penalty"):
        Retrieval.require_usable(build_acting([{"density": {"roles": ["check", "penalty"]}}]))
