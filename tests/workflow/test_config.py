"""Configurations: each mistake is refused before any work, with its place, its value and the nearest valid name."""

from __future__ import annotations

from pathlib import Path

import pytest

from matgen.errors import ConfigError
from matgen.registry import load_user_file
from matgen.workflow.config import load_workflow

HERE = Path(__file__).parent
load_user_file(HERE / "toy_workflow.py")
TOY = {"workflow": "toy"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sed=1"], ["sed", "there is no key 'sed'", "Did you mean 'seed'?"]),
        (["measure.shards=1"], ["measure.shards", "no key 'shards'", "'shard'"]),
        (["n=0"], ["n: the value", "greater than or equal to 1", "found 0"]),
        (["n=ten"], ["n: the value", "valid integer", "'ten'"]),
        (["n=2.5"], ["valid integer", "2.5"]),
        (["n=true"], ["valid integer", "True"]),
        (["seed=-1"], ["seed", "greater than or equal to 0"]),
        (["measure.slow=.inf"], ["measure.slow", "finite"]),
        (["measure=3"], ["measure", "found 3"]),
        (["workflow=toi"], ["workflow", "'toi' is no kind of workflow", "Did you mean 'toy'"]),
        (["plugins=[/no/such.py]"], ["/no/such.py", "no such Python file"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_value(settings, said):
    with pytest.raises(ConfigError) as refused:
        load_workflow(TOY, settings)
    for part in said:
        assert part in str(refused.value)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(ConfigError, match="2 things cannot be honoured") as refused:
        load_workflow(TOY, ["sed=1", "n=0"])
    assert len(str(refused.value).splitlines()) == 3


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one(tmp_path):
    (tmp_path / "discover.yaml").write_text("workflow: toy\n")
    with pytest.raises(ConfigError, match=r"Did you mean .*discover\.yaml"):
        load_workflow(tmp_path / "discovre.yaml")
    with pytest.raises(ConfigError, match=r"there is no workflow 'toi'.*'toy'"):
        load_workflow("toi")
    assert load_workflow(tmp_path / "discover.yaml") == load_workflow("toy") == load_workflow(TOY)


def test_paths_count_from_the_folder_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_workflow(TOY, ["library=data/x"]).library == tmp_path / "data" / "x"


def test_a_finished_configuration_can_be_overridden():
    config = load_workflow(TOY, ["n=3"])
    assert load_workflow(config, ["top=1"]) == load_workflow(TOY, ["n=3", "top=1"])


def test_configurations_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        load_workflow(TOY).n = 4
