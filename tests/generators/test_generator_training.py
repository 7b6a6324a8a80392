"""Training a generator from data sets to a folder with weights and card."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.structures import write_structures
from matgen.errors import ConfigError, DataError
from matgen.execution import Serial
from matgen.generators.sampling import sample
from matgen.generators.training import train
from matgen.training import Training

TINY = {"width": 16, "layers": 1, "heads": 2, "channels": 4}
SHORT = Training(steps=4, atoms=20, warmup=2, precision="32-true", save_every=2)


@pytest.fixture
def sources(tmp_path, textbook):
    """Two data sets that share one structure, and a third whose ids are forbidden."""
    for name, rows in {"one": range(7), "two": range(6, 11), "test": [0, 10]}.items():
        table = pd.DataFrame({"id": [f"m{i}" for i in rows], "band_gap": [float(i) for i in rows]})
        write_structures(tmp_path / name / "structures.parquet", table, [textbook[i] for i in rows])
    return tmp_path


def test_shared_rows_count_once_and_excluded_ones_not_at_all(sources):
    out = sources / "model"
    both = [sources / "one", sources / "two"]
    settings = {
        "config": {**TINY, "targets": ["band_gap"]},
        "settings": SHORT,
        "validation": 0.2,
        "facts": {"limits": "toy"},
    }
    model = train(both, out, exclude=sources / "test", **settings)
    facts = {"sources": ["one", "two"], "rows": 9, "learned": 7, "held_out": 2, "excluded": "test"}
    assert model.card["data"] == facts
    assert json.loads((out / "card.json").read_text())["limits"] == "toy"
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert len(sample(out, 3, options={"steps": 2}, executor=Serial())) == 3


def test_order_of_the_sources_does_not_matter(sources):
    settings = {"config": TINY, "settings": SHORT}
    one = train([sources / "one", sources / "two"], sources / "a", **settings)
    other = train([sources / "two", sources / "one"], sources / "b", **settings)
    assert one.fingerprint == other.fingerprint


def test_what_cannot_be_learned_is_refused(sources):
    with pytest.raises(DataError, match="no structure of at most 1 atoms"):
        train(sources / "one", sources / "x", config=TINY, settings=SHORT, max_atoms=1)
    with pytest.raises(ConfigError, match="no column e_form"):
        train(sources / "one", sources / "x", config={**TINY, "targets": ["e_form"]}, settings=SHORT)


def test_the_verb_trains_by_a_recipe(sources):
    recipe = sources / "recipe.yaml"
    training = {"steps": 4, "atoms": 20, "warmup": 2, "precision": "32-true", "save_every": 2}
    recipe.write_text(yaml.safe_dump({"generator": "flow", "config": TINY, "half": True, "training": training}))
    words = [
        "train",
        "generator",
        recipe,
        "--data",
        sources / "one",
        "--out",
        sources / "m",
        "--json",
        "--set",
        "training.steps=2",
    ]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert json.loads(result.stdout)["data"]["rows"] == 7
    assert json.loads((sources / "m" / "card.json").read_text())["training"]["steps"] == 2


def test_the_shipped_recipe_is_well_formed():
    from pathlib import Path

    from matgen.workflow.generator_recipe import GeneratorRecipe
    from matgen.workflow.recipe import read_recipe

    recipe = read_recipe(GeneratorRecipe, Path(__file__).parents[2] / "workflows" / "generators" / "flow-mp20.yaml")
    assert recipe.training.settings().steps == 12_000
