"""Split-conformal calibration against its theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from matgen.surrogates.conformal import LEVEL, Z_LEVEL, ErrorModel, Judged, conformal_quantile, interval


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (19, 18), (99, 90), (100, 91)])
def test_quantile_is_the_right_order_statistic(n, rank):
    scores = np.random.default_rng(n).permutation(np.arange(1, n + 1)).astype(float)
    assert conformal_quantile(scores) == rank


def test_too_few_scores_promise_nothing():
    assert conformal_quantile(np.arange(8.0)) == np.inf


@given(st.integers(10, 300), st.floats(0.5, 0.95))
def test_quantile_never_falls_below_the_plain_one(n, level):
    scores = np.random.default_rng(n).exponential(size=n)
    assert conformal_quantile(scores, level) >= np.quantile(scores, level, method="lower")


def test_coverage_follows_the_beta_law():
    """With n calibration scores of any law, coverage is Beta(k, n + 1 - k) with k = ceil((n + 1) 0.9)."""
    rng, n, trials = np.random.default_rng(0), 60, 4000
    uniform = np.array([conformal_quantile(rng.random(n)) for _ in range(trials)])  # coverage of U(0, 1) scores
    k = int(np.ceil((n + 1) * LEVEL))
    law = beta(k, n + 1 - k)
    assert uniform.mean() == pytest.approx(law.mean(), abs=4 * law.std() / trials**0.5)
    assert uniform.std() == pytest.approx(law.std(), rel=0.06)
    assert uniform.mean() >= LEVEL


def heteroscedastic(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals (n, 2), of which the first sets the error's size and the second says nothing."""
    rng = np.random.default_rng(seed)
    signals = rng.lognormal(-2, 1, (n, 2))
    return signals, np.abs(rng.standard_t(4, n)) * signals[:, 0]


def test_error_model_covers_new_data_everywhere():
    model = ErrorModel.fit(Judged(*heteroscedastic(2000, 1)), floor=1e-4)
    signals, errors = heteroscedastic(20_000, 2)
    inside = errors <= Z_LEVEL * model.std(signals)
    assert inside.mean() == pytest.approx(LEVEL, abs=0.025)
    small = signals[:, 0] < np.median(signals[:, 0])
    assert inside[small].mean() == pytest.approx(LEVEL, abs=0.035)
    assert inside[~small].mean() == pytest.approx(LEVEL, abs=0.035)
    assert model.weights[1] == pytest.approx(1, abs=0.1)
    assert model.weights[2] < 0.1


def test_std_grows_with_every_signal():
    model = ErrorModel.fit(Judged(*heteroscedastic(500, 3)), floor=1e-4)
    base = np.full((1, 2), 0.3)
    for column in range(2):
        more = base.copy()
        more[0, column] *= 10
        assert model.std(more) >= model.std(base) > 0
    assert np.isfinite(model.std(np.zeros((1, 2)))).all()


def test_interval_of_the_calibrated_level():
    low, high = interval(np.array([1.0]), np.array([0.1]))
    np.testing.assert_allclose([low[0], high[0]], [1 - 0.1 * Z_LEVEL, 1 + 0.1 * Z_LEVEL])
    assert pytest.approx(1.645, abs=1e-3) == Z_LEVEL


def test_card_round_trip():
    model = ErrorModel.fit(Judged(*heteroscedastic(200, 4)), floor=1e-3)
    assert ErrorModel.of({"weights": list(model.weights), "floor": model.floor, "scale": model.scale}) == model


def test_each_region_is_held_alike():
    """Errors three times as large as their signal says in one region: one factor for all would hold 98 and 62 %."""
    signals, errors = heteroscedastic(4000, 5)
    names = np.where(np.arange(4000) % 4 < 2, "oxides", "halides").astype(object)
    names[:60] = "hydrides"
    errors = np.where(names == "oxides", 3 * errors, errors)
    model = ErrorModel.fit(Judged(signals, errors, names), 1e-4)
    assert set(model.regions) == {"oxides", "halides"}  # 60 calibrating hydrides are too few for a factor of their own
    fresh, wrong = heteroscedastic(20_000, 6)
    for name, size in (("oxides", 3), ("halides", 1)):
        std = model.std(fresh, np.full(20_000, name, dtype=object))
        assert (size * wrong <= Z_LEVEL * std).mean() == pytest.approx(LEVEL, abs=0.02)
    np.testing.assert_array_equal(model.std(fresh[:5], np.array(["hydrides"] * 5)), model.std(fresh[:5]))


def test_few_rows_calibrate_each_other():
    """Whatever 40 rows there are, new ones are held as promised on average over such draws."""
    fresh, wrong = heteroscedastic(4000, 7)
    shares = []
    for seed in range(60):
        model = ErrorModel.fit(Judged(*heteroscedastic(40, 100 + seed)), floor=1e-4)
        shares.append((wrong <= Z_LEVEL * model.std(fresh)).mean())
    assert np.mean(shares) == pytest.approx(LEVEL, abs=0.02)


def test_other_data_set_the_size_and_keep_the_order():
    model = ErrorModel.fit(Judged(*heteroscedastic(2000, 8)), floor=1e-4)
    signals, errors = heteroscedastic(4000, 9)
    other = model.calibrated(Judged(signals[::2], 2.5 * errors[::2]))
    assert other.weights == model.weights
    assert (2.5 * errors[1::2] <= Z_LEVEL * other.std(signals[1::2])).mean() == pytest.approx(LEVEL, abs=0.025)
    ratio = other.std(signals) / model.std(signals)
    np.testing.assert_allclose(ratio, ratio[0])
    assert ratio[0] == pytest.approx(2.5, rel=0.1)


def test_other_data_bring_factors_for_their_regions():
    signals, errors = heteroscedastic(600, 10)
    names = np.where(np.arange(600) < 300, "oxides", "halides").astype(object)
    model = ErrorModel.fit(Judged(signals, errors, names), floor=1e-4)
    other = model.calibrated(Judged(signals[:300], 3 * errors[:300], names[:300]))
    assert set(other.regions) == {"oxides"}  # the factor of halides was the old rows' and is gone with them
    assert other.std(signals[:1], np.array(["halides"])) == pytest.approx(
        other.scale / other.regions["oxides"] * other.std(signals[:1], np.array(["oxides"]))
    )


def test_factors_are_those_of_crepes():
    """Against the Mondrian conformal regressor of crepes (Boström, COPA 2022), region by region."""
    crepes = pytest.importorskip("crepes", reason="not installed: pip install crepes")
    model = ErrorModel.fit(Judged(*heteroscedastic(400, 11)), floor=1e-4)
    signals, errors = heteroscedastic(900, 12)
    names = np.array(["oxides", "halides", "nitrides"] * 300)
    residuals = errors * np.where(names == "oxides", 3.0, 1.0) * np.random.default_rng(0).choice([-1, 1], 900)
    bare = ErrorModel(model.weights, model.floor, 1.0)
    theirs = crepes.ConformalRegressor().fit(residuals, sigmas=bare.std(signals), bins=names)
    fresh, where = heteroscedastic(90, 13)[0], np.array(["nitrides", "oxides", "halides"] * 30)
    low, high = theirs.predict_int(np.zeros(90), sigmas=bare.std(fresh), bins=where, confidence=LEVEL).T
    ours = model.calibrated(Judged(signals, np.abs(residuals), names)).std(fresh, where)
    np.testing.assert_allclose(high, Z_LEVEL * ours)
    np.testing.assert_allclose(low, -Z_LEVEL * ours)
