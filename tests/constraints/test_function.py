"""A user's function in a file, as a constraint from Python and from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from matgen.cli import app
from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.function import constraint
from matgen.constraints.specification import build_acting, build_constraints, specify
from matgen.data.structures import write_structures
from matgen.errors import ConfigError
from matgen.registry import USER_FILES

MINE = """
from matgen.constraints.function import constraint

@constraint
def lighter_than(structure, high: float = 5.0):
    "Mass density of at most a limit in g/cm3."
    return None if structure.density <= high else f"{structure.density:.1f} g/cm3 is too heavy"
"""


@pytest.fixture
def few_sites():
    def few_sites(structure, most: int = 4):
        """At most so many sites."""
        return len(structure) <= most

    yield constraint(few_sites)
    CONSTRAINTS._parts.pop("few_sites")


def test_parameters_are_settings(few_sites, rocksalt, perovskite):
    (strict, loose) = build_constraints(["few_sites", {"few_sites": {"most": 9}}])
    assert strict.check([rocksalt, perovskite]).passed.tolist() == [len(rocksalt) <= 4, len(perovskite) <= 4]
    assert loose.check([perovskite]).passed.all()
    assert strict.check([perovskite]).reasons == ("the rule 'few_sites' is not kept",)
    assert build_constraints([specify(loose)]) == (loose,)
    with pytest.raises(ConfigError, match=r"few_sites.most: .*valid integer"):
        build_constraints([{"few_sites": {"most": "many"}}])
    with pytest.raises(ConfigError, match="cannot act as 'mask'"):
        build_acting([{"few_sites": {"roles": ["mask"]}}])


def test_functions_that_are_no_rules_are_refused(perovskite):
    with pytest.raises(ConfigError, match="no type or default for 'most'"):
        constraint(lambda structure, most: True)

    def seven(structure):
        return 7

    try:
        with pytest.raises(ConfigError, match="returned 7"):
            constraint(seven)().check([perovskite])
    finally:
        CONSTRAINTS._parts.pop("seven")


def test_screen_with_a_function_in_a_file(tmp_path, perovskite, rocksalt):
    import pandas as pd

    mine, known = tmp_path / "mine.py", tmp_path / "known.parquet"
    mine.write_text(MINE)
    write_structures(known, pd.DataFrame({"id": ["salt", "oxide"]}), [rocksalt, perovskite])
    arguments = ["screen", str(known), "--out", str(tmp_path / "kept.parquet"), "--plugin", str(mine)]
    arguments += ["--constraint", "lighter_than:high=3", "--workers", "1", "--json"]
    before = list(USER_FILES)
    try:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    finally:
        USER_FILES[:] = before
        CONSTRAINTS._parts.pop("lighter_than", None)
    (rejected,) = json.loads(result.stdout)["rejections"]
    assert rejected["id"] == "oxide"
    assert rejected["reason"].endswith("g/cm3 is too heavy")
