"""Every registered surrogate faces the same battery."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.property import find_property
from matgen.errors import ConfigError, DataError
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.conformal import Z_LEVEL
from matgen.surrogates.storage import CARD, WEIGHTS, load_surrogate

from .conftest import density, difference

SMALL = {
    "composition-forest": {"trees": 30},
    "composition-boosting": {"rounds": 60, "leaves": 8},
    "composition-blend": {"trees": 20, "rounds": 40, "leaves": 8},
    "composition-process": {"inducing": 120, "learned": 80},
    "embedding": {"head": "process", "settings": {"inducing": 120, "learned": 80}},
    "composition-ensemble": {"members": 2, "epochs": 40, "width": 64, "batch": 32, "rate": 3e-3, "held_out": 0.25},
    "graph-ensemble": {
        "members": 2,
        "epochs": 24,
        "width": 24,
        "angular": 4,
        "layers": 2,
        "neighbours": 8,
        "batch": 32,
        "rate": 5e-3,
        "held_out": 0.25,
        "jitter": 0.0,
        "strain": 0.0,
    },
}
TARGET = {name: difference if name.startswith("composition") else density for name in SMALL}
NUMBER = {
    "composition-forest": {"trees": 5},
    "composition-boosting": {"rounds": 5},
    "composition-blend": {"rounds": 5},
    "composition-process": {"inducing": 40},
    "composition-ensemble": {"epochs": 2},
    "graph-ensemble": {"epochs": 2},
    "embedding": {"settings": {"inducing": 40, "learned": 40}},
}
"""A whole number among the settings of each, small enough to be quick."""
PROPERTY = find_property("density")


@pytest.fixture(scope="module", params=sorted(SMALL))
def fitted(request, training):
    model = SURROGATES.get(request.param)(PROPERTY, **SMALL[request.param])
    model.fit(training, TARGET[request.param](training), rng=np.random.default_rng(0))
    return model


def test_every_surrogate_is_tested():
    crystals = {name for name in SURROGATES.names() if not name.startswith("molecule")}  # those have their own battery
    assert crystals == set(SMALL)


def test_learns_better_than_a_constant(fitted, training, fresh):
    target = TARGET[fitted.name]
    error = np.abs(fitted.predict(fresh).mean - target(fresh)).mean()
    dummy = np.abs(np.median(target(training)) - target(fresh)).mean()
    assert error < 0.35 * dummy


def test_intervals_hold_most_new_values(fitted, fresh):
    prediction, target = fitted.predict(fresh), TARGET[fitted.name](fresh)
    # These properties are free of noise. What is learned to a thousandth ends where single precision does.
    width = np.maximum(Z_LEVEL * prediction.std, 1e-3 * np.ptp(target))
    assert (prediction.std > 0).all()
    inside = np.abs(prediction.mean - target) <= width
    assert inside.mean() >= 0.65  # 30 calibration rows promise 0.9 ± 0.05, and 80 are counted


def test_judging_is_predicting_with_the_truth_at_hand(fitted, fresh):
    truth, prediction = TARGET[fitted.name](fresh), fitted.predict(fresh)
    judged = fitted.judge(fresh, truth)
    np.testing.assert_allclose(judged.errors, np.abs(prediction.mean - truth))
    np.testing.assert_allclose(fitted.errors.std(judged.signals, judged.regions), prediction.std)
    kept = fitted.errors
    fitted.errors = kept.calibrated(judged)
    again = fitted.predict(fresh)
    fitted.errors = kept
    np.testing.assert_array_equal(again.mean, prediction.mean)
    assert (judged.errors <= Z_LEVEL * again.std * (1 + 1e-9)).mean() >= 0.9  # as promised of 80 rows, 73 are held


def test_strange_structures_are_outside_and_uncertain(fitted, fresh):
    strange = [Structure(Lattice.cubic(5 + i), ["Pu", "Xe", "Xe"], [[0, 0, 0], [0.5] * 3, [0.2] * 3]) for i in range(5)]
    inside, outside = fitted.predict(fresh), fitted.predict(strange)
    assert inside.in_domain.mean() > 0.8
    assert not outside.in_domain.any()
    assert outside.distance.min() > np.median(inside.distance)
    assert outside.std.min() > np.median(inside.std)


def test_saved_and_loaded_agree(fitted, fresh, tmp_path):
    fitted.save(tmp_path, licence="CC BY 4.0")
    again = load_surrogate(tmp_path)
    one, other = fitted.predict(fresh), again.predict(fresh)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-12)
    np.testing.assert_array_equal(one.in_domain, other.in_domain)
    card = json.loads((tmp_path / CARD).read_text())
    assert card["surrogate"] == fitted.name
    assert (card["property"], card["unit"], card["licence"]) == ("density", "g/cm³", "CC BY 4.0")


def test_exchanged_weights_are_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    with (tmp_path / WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ConfigError, match="belong together"):
        load_surrogate(tmp_path)


def test_order_and_company_do_not_matter(fitted, fresh):
    whole = fitted.predict(fresh[:10])
    alone = [fitted.predict([structure]) for structure in fresh[:10]]
    np.testing.assert_allclose(whole.mean, [p.mean[0] for p in alone], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(whole.std, [p.std[0] for p in alone], rtol=1e-2)


def test_supercells_and_other_cells_predict_the_same(fitted, fresh):
    cells = fresh[:6]
    larger = [structure * (1, 2, 1) for structure in cells]
    moved = [structure.copy().translate_sites([0, 1], [0.13, 0.41, 0.77]) for structure in cells]
    here = fitted.predict(cells).mean
    np.testing.assert_allclose(fitted.predict(larger).mean, here, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fitted.predict(moved).mean, here, rtol=1e-3, atol=1e-3)


def test_nothing_in_nothing_out(fitted):
    assert len(fitted.predict([]).mean) == 0


@pytest.mark.parametrize("name", sorted(SMALL))
def test_same_seed_same_model(name, training, fresh):
    def mean(seed: int) -> np.ndarray:
        model = SURROGATES.get(name)(PROPERTY, **{**SMALL[name], **NUMBER[name]})
        model.fit(training[:80], TARGET[name](training[:80]), rng=np.random.default_rng(seed))
        return model.predict(fresh).mean

    np.testing.assert_array_equal(mean(5), mean(5))
    assert not np.array_equal(mean(5), mean(6))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_clear_errors(name, training):
    kind = SURROGATES.get(name)
    with pytest.raises(ConfigError, match="no setting"):
        kind(PROPERTY, wdith=3)
    wrong = {"settings": {"inducing": "many"}} if name == "embedding" else {next(iter(NUMBER[name])): "many"}
    with pytest.raises(ConfigError, match="valid integer"):
        kind(PROPERTY, **wrong)
    model = kind(PROPERTY, **SMALL[name])
    with pytest.raises(ConfigError, match="not fitted"):
        model.predict(training)
    with pytest.raises(DataError, match="missing"):
        model.fit(training, np.full(len(training), np.nan), rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="too few"):
        model.fit(training[:5], density(training[:5]), rng=np.random.default_rng(0))
