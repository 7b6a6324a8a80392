"""Tuning: the best settings are found, hopeless trainings stop early, failures and repetitions are told as such."""

from __future__ import annotations

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from matgen.data.structures import write_structures
from matgen.errors import ConfigError
from matgen.optimize.claims import REASON
from matgen.optimize.spaces.settings import Range
from matgen.optimize.trainers import GeneratorTrainer
from matgen.optimize.tuning import best_settings, tune
from matgen.workflow.run import run

RATE = {"rate": {"low": 1e-4, "high": 1.0, "log": True, "points": 5}}


def bowl(settings, report):
    """Lowest at a rate of 0.01; far away, the training diverges."""
    import math

    if settings["rate"] > 0.5:
        raise FloatingPointError("the loss exploded")
    value = (math.log10(settings["rate"]) + 2) ** 2
    for step in range(4):
        report(step, value + 4 - step)
    return value


def test_the_best_setting_is_found():
    study = tune(bowl, RATE, trials=25, sampler={"tpe": {"n_startup_trials": 6}}, pruner="none", seed=0)
    best = best_settings(study)
    assert best is not None
    assert best[1] < 0.05


def test_a_grid_is_tried_once_and_failures_have_reasons():
    study = tune(bowl, RATE, trials=50, sampler="grid", pruner="none")
    assert sorted(t.params["rate"] for t in study.trials) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert [t.user_attrs[REASON] for t in failed] == ["FloatingPointError: the loss exploded"]


@pytest.mark.parametrize("pruner", [{"median": {"n_startup_trials": 2}}, {"hyperband": {"max_resource": 4}}])
def test_hopeless_trainings_stop_early(pruner):
    study = tune(bowl, RATE, trials=30, sampler="random", pruner=pruner, seed=1)
    assert any(t.state == TrialState.PRUNED and len(t.intermediate_values) < 4 for t in study.trials)


def test_tried_settings_are_not_trained_again():
    calls, storage = [], optuna.storages.InMemoryStorage()

    def count(settings, report):
        calls.append(settings["size"])
        return float(settings["size"])

    choices = {"size": {"choices": [1, 2, 3]}}
    for _ in range(2):
        tune(count, choices, trials=9, sampler="random", storage=storage)
    assert sorted(calls) == [1, 2, 3]


def test_ranges():
    assert Range(low=1, high=100, log=True, whole=True, points=3).grid() == [1, 10, 100]
    with pytest.raises(ConfigError, match="choices"):
        tune(bowl, {"rate": {"low": 1.0}})


def test_workflow_of_a_surrogate(tmp_path, textbook):
    structures = textbook * 6
    table = pd.DataFrame(
        {"id": [f"c{i}" for i in range(66)], "e_form": [len(s) + i / 100 for i, s in enumerate(structures)]}
    )
    write_structures(tmp_path / "data.parquet", table, structures)
    (tmp_path / "recipe.yaml").write_text("property: e_form\nsurrogate: composition-forest\nsettings: {trees: 10}\n")
    plan = {
        "workflow": "tune", "recipe": str(tmp_path / "recipe.yaml"), "data": [str(tmp_path / "data.parquet")],
        "parameters": {"settings.least": {"choices": [1, 20]}}, "sampler": "grid", "pruner": "none",
        "tuning": {"folds": 3},
    }  # fmt: skip
    done = run(plan, out=tmp_path / "run")
    assert done.record["protocol"]["best"] == {"settings.least": 1}
    assert (tmp_path / "run" / "best.yaml").is_file()
    assert "Study tune" in (tmp_path / "run" / "study.html").read_text()


def test_generators_are_tuned_by_their_validation_loss(tmp_path, textbook):
    table = pd.DataFrame({"id": [f"c{i}" for i in range(len(textbook))]})
    write_structures(tmp_path / "data.parquet", table, textbook)
    training = {"steps": 6, "atoms": 30, "save_every": 3, "warmup": 1, "precision": "32-true", "device": "cpu"}
    config = {"width": 16, "layers": 1, "heads": 2, "channels": 4}
    trainer = GeneratorTrainer([tmp_path / "data.parquet"], "flow", config, training, validation=0.3)
    choices = {"training.optimizer": {"choices": ["adamw", "adam", "sgd", "adagrad"]}}
    study = tune(trainer, choices, trials=4, sampler="grid", pruner="none")
    assert len({t.value for t in study.trials}) == 4
    assert all(list(t.intermediate_values) == [3] for t in study.trials)
