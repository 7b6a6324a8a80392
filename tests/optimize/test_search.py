"""The search: known answers are found, nothing is evaluated twice, failures keep their reasons, studies go on."""

from __future__ import annotations

import json
import wsgiref.util

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from pools import measure, perovskites

import matgen
from matgen.errors import ConfigError
from matgen.optimize import optimize, surrogate_sampler
from matgen.optimize.claims import REASON, claim, is_evaluation
from matgen.optimize.regression import fitted
from matgen.optimize.results import best_so_far, candidates_of, finished, front, hypervolumes, trials_table
from matgen.optimize.storage import CLAIM, RETRY, open_storage, recover
from matgen.workflow.config import load_workflow

VALUE = [{"property": "value"}]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "pool.parquet"
    return path, perovskites(path)


def spelled(pool, coordinates="member"):
    return {"pool": {"source": str(pool[0]), "coordinates": coordinates}}


def hits(study, table, n=10):
    return len({t.user_attrs["key"] for t in finished(study)} & set(table["id"][:n]))


def test_a_model_of_chemistry_finds_what_chance_does_not(pool):
    study = optimize(spelled(pool), "lookup", VALUE, sampler="surrogate", evaluations=60, seed=0)
    chance = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=60, seed=0)
    assert isinstance(study, optuna.Study)
    assert hits(study, pool[1]) >= 5 > hits(chance, pool[1])


@pytest.mark.parametrize("coordinates", ["latent", "elements"])
@pytest.mark.parametrize("sampler", ["tpe", "qmc", "cma-es", "random", {"nsga-ii": {"population_size": 10}}])
def test_every_sampler_sees_each_member_once(pool, coordinates, sampler):
    if coordinates == "elements" and sampler == "cma-es":
        pytest.skip("CMA-ES has no categories")
    if sampler == "cma-es":
        pytest.importorskip("cmaes", reason="not installed: pip install 'matgen[search]'")
    study = optimize(spelled(pool, coordinates), "lookup", VALUE, sampler=sampler, evaluations=24, seed=1)
    keys = [t.user_attrs["key"] for t in finished(study)]
    assert len(keys) == len(set(keys)) == 24


def test_gaussian_process_with_a_limit(pool):
    study = optimize(
        spelled(pool, "elements"), "lookup", VALUE, sampler={"gp": {"n_startup_trials": 8}}, evaluations=12, seed=0,
        limits=[{"property": "other", "high": -0.5}],
    )  # fmt: skip
    assert all(t.constraints["other limit"] == pytest.approx(t.user_attrs["other"] + 0.5) for t in finished(study))


def test_two_objectives_have_a_front_and_a_growing_hypervolume(pool):
    aims = [*VALUE, {"property": "other", "goal": "maximise"}]
    study = optimize(spelled(pool), "lookup", aims, sampler="surrogate", evaluations=48, seed=0)
    volumes = hypervolumes(study)
    assert (volumes[1:] >= volumes[:-1]).all()
    assert volumes[-1] > volumes[20]
    best = {t.number for t in front(study)}
    assert best == {t.number for t in study.best_trials}


@pytest.mark.parametrize("sampler", ["tpe", {"nsga-ii": {"population_size": 8}}, {"nsga-iii": {"population_size": 8}}])
def test_samplers_of_several_objectives_with_a_limit(pool, sampler):
    aims = [*VALUE, {"property": "other", "goal": "maximise"}]
    study = optimize(
        spelled(pool, "elements"), "lookup", aims, sampler=sampler, evaluations=24, seed=0,
        limits=[{"property": "value", "high": 3.0}],
    )  # fmt: skip
    assert len({t.user_attrs["key"] for t in finished(study)}) == 24
    assert all(t.constraints["value limit"] == pytest.approx(t.values[0] - 3.0) for t in finished(study))
    assert all(t.values[0] <= 3.0 for t in front(study))


@pytest.mark.parametrize("objectives", [VALUE, [*VALUE, {"property": "other"}]], ids=["one", "two"])
def test_botorch(pool, objectives):
    pytest.importorskip("optuna_integration.botorch", reason="not installed: pip install 'matgen[botorch]'")
    settings = {"botorch": {"n_startup_trials": 6}}
    study = optimize(spelled(pool, "latent"), "lookup", objectives, sampler=settings, evaluations=9, seed=0)
    assert len({t.user_attrs["key"] for t in finished(study)}) == 9


def test_the_same_seed_repeats(pool):
    one, two = (optimize(spelled(pool), "lookup", VALUE, sampler="surrogate", evaluations=30, seed=4) for _ in "ab")
    assert [t.params for t in one.trials] == [t.params for t in two.trials]


@pytest.mark.parametrize("suffix", [".db", ".journal"])
def test_a_study_goes_on(pool, tmp_path, suffix):
    where = tmp_path / f"study{suffix}"
    optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=10, storage=where)
    study = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=16, storage=where)
    assert len({t.user_attrs["key"] for t in finished(study)}) == len(finished(study)) == 16
    with pytest.raises(ConfigError, match="another search"):
        optimize(spelled(pool), "lookup", [{"property": "other"}], storage=where)


def test_a_torn_journal_is_mended(pool, tmp_path):
    where = tmp_path / "study.journal"
    optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=8, storage=where)
    whole = where.read_bytes()
    where.write_bytes(whole + b'{"op_code": 4, "worker_id"')
    study = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=12, storage=where)
    assert len(finished(study)) == 12


def test_a_failed_evaluation_is_a_failed_trial_with_its_reason(pool):
    study = optimize(spelled(pool, "latent"), measure, [{"property": "volume"}], sampler="random", evaluations=40)
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert failed
    assert all("lithium is not allowed here" in t.user_attrs[REASON] for t in failed)
    assert len(failed) + len(finished(study)) == 40
    kept = candidates_of(study)
    assert set(kept.rejected["stage"]) == {"evaluate"}
    assert len(kept) == len(finished(study))


def test_a_small_pool_is_exhausted_not_repeated(tmp_path):
    path = tmp_path / "few.parquet"
    perovskites(path)
    from matgen.data.structures import read_structures, write_structures

    table, structures = read_structures(path)
    write_structures(path, table.head(9), structures[:9])
    study = optimize({"pool": {"source": str(path)}}, "lookup", VALUE, sampler="random", evaluations=20)
    assert len(finished(study)) == 9


def test_tables(pool):
    study = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=20, seed=3)
    table = candidates_of(study).table
    assert table["rank"].tolist() == list(range(1, 21))
    assert table["value"].is_monotonic_increasing
    assert best_so_far(study)[-1, 0] == table["value"][0]
    assert isinstance(trials_table(study), pd.DataFrame)


def test_package_is_callable():
    assert matgen.optimize.__name__ == "matgen.optimize"
    assert callable(matgen.optimize)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampler": "tpee"}, "no sampler called"),
        ({"sampler": {"tpe": {"startup": 3}}}, "has no setting"),
        ({"space": {"pool": {"source": "nowhere.parquet"}}}, "no such file"),
        ({"space": "poool"}, "no space called"),
        ({"evaluate": {"lookup": {"column": 3}}}, "has no setting"),
        ({"sampler": "cma-es", "objectives": [*VALUE, {"property": "other"}]}, "one objective"),
        ({"storage": "study.xml"}, "not known"),
        ({"objectives": [{"property": "valu"}]}, "no column"),
    ],
)
def test_what_cannot_be_honoured_is_said(pool, change, said):
    arguments = {"space": spelled(pool), "evaluate": "lookup", "objectives": VALUE, **change}
    with pytest.raises(ConfigError, match=said):
        optimize(**arguments)


def test_one_of_two_undecided_claims_gives_way():
    study = optuna.create_study()
    early, late = study.ask(), study.ask()
    early.set_user_attr(CLAIM, {"owner": "elsewhere:1", "settled": False})
    early.set_user_attr("key", "NaCl")
    assert claim(study, late, "NaCl").number == early.number
    assert claim(study, early, "NaCl") is None


def test_a_settled_claim_wins_over_an_earlier_trial():
    study = optuna.create_study()
    early, late = study.ask(), study.ask()
    assert claim(study, late, "NaCl") is None
    assert claim(study, early, "NaCl").number == late.number


def test_trials_of_a_dead_process_are_queued_again(tmp_path):
    study = optuna.create_study(storage=open_storage(tmp_path / "s.db"))
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    assert claim(study, trial, "NaCl") is None
    import socket

    trial.set_user_attr(CLAIM, {"owner": f"{socket.gethostname()}:999999999", "settled": True})
    assert recover(study) == 1
    lost, queued = study.get_trials(deepcopy=False)
    assert lost.state == TrialState.FAIL
    assert not is_evaluation(lost)
    assert queued.state == TrialState.WAITING
    assert study.ask().suggest_float("x", 0, 1) == trial.params["x"]


def test_what_was_lost_is_taken_up_even_where_enough_has_been_found_meanwhile(pool, tmp_path):
    where = tmp_path / "s.db"
    study = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=8, storage=where)
    unseen = next(t for t in optimize(spelled(pool), "lookup", VALUE, sampler="random", seed=5, evaluations=40).trials
                  if t.user_attrs["key"] not in {old.user_attrs["key"] for old in study.trials})  # fmt: skip
    study.enqueue_trial(unseen.params, user_attrs={RETRY: 3})
    study = optimize(spelled(pool), "lookup", VALUE, sampler="random", evaluations=8, storage=where)
    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert [t.user_attrs["key"] for t in study.trials[8:]] == [unseen.user_attrs["key"]]


def test_a_gaussian_process_searches_the_latent_coordinates(pool):
    settings = {"surrogate": {"model": "gaussian_process", "inputs": "coordinates", "startup": 8}}
    study = optimize(spelled(pool, "latent"), "lookup", VALUE, sampler=settings, evaluations=48, seed=0)
    chance = optimize(spelled(pool, "latent"), "lookup", VALUE, sampler="random", evaluations=48, seed=0)
    assert hits(study, pool[1]) >= 4 > hits(chance, pool[1])
    with pytest.raises(ConfigError, match="no numbers"):
        optimize(spelled(pool, "elements"), "lookup", VALUE, sampler=settings, evaluations=24, seed=0)


def test_a_model_is_fitted_the_rarer_the_more_is_known(pool, monkeypatch):
    fits = []

    def noted(kind, points, values, rng):
        fits.append(len(values))
        return fitted(kind, points, values, rng)

    monkeypatch.setattr(surrogate_sampler, "fitted", noted)
    settings = {"surrogate": {"model": "forest", "startup": 8, "retrain": 8, "growth": 0.5}}
    optimize(spelled(pool), "lookup", VALUE, sampler=settings, evaluations=72, batch=8, seed=0)
    assert fits == [8, 16, 24, 40, 64]


def test_the_dashboard_reads_the_study_unchanged(pool, tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard", reason="not installed: pip install 'matgen[search]'")
    where = tmp_path / "study.db"
    aims = [*VALUE, {"property": "other", "goal": "maximise"}]
    optimize(spelled(pool), "lookup", aims, sampler="random", evaluations=8, storage=where)
    app, said = dashboard.wsgi(f"sqlite:///{where}"), []

    def asked(path):
        environment: dict[str, object] = {}
        wsgiref.util.setup_testing_defaults(environment)
        body = b"".join(app({**environment, "PATH_INFO": path}, lambda status, *_: said.append(status)))
        return json.loads(body)

    listed = asked("/api/studies")["study_summaries"]
    assert [one["study_name"] for one in listed] == ["search"]
    shown = asked(f"/api/studies/{listed[0]['study_id']}")
    assert len(shown["trials"]) == 8
    assert shown["objective_names"] == ["value", "other"]
    assert set(said) == {"200 OK"}


def test_an_override_reaches_into_the_named_space_and_not_into_the_default_one(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text("workflow: optimize\nspace: {pool: {source: here, dimensions: 3}}\nevaluate: lookup\n")
    config = load_workflow(file, ["space.pool.source=there"], check=False)
    assert config.space == {"pool": {"source": "there", "dimensions": 3}}
