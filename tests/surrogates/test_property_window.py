"""A window on a predicted property: probabilities by hand, roles by the kind of surrogate, and the gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from matgen.constraints.specification import build_acting, build_constraints, parse_option, specify
from matgen.data.structures import to_batch
from matgen.errors import ConfigError
from matgen.surrogates.prediction import surrogate_for
from matgen.surrogates.property_window import PropertyWindow, log_inside
from matgen.surrogates.storage import load_surrogate


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-9.0, -8.0), (6.0, 7.5), (-np.inf, 0.3), (1.2, np.inf)])
def test_the_probability_of_a_window(low, high):
    a = torch.tensor([low], dtype=torch.float64, requires_grad=True)
    found = log_inside(a, torch.tensor([high], dtype=torch.float64))
    mirrored = (-high, -low) if low + high > 0 else (low, high)
    expected = np.log(norm.cdf(mirrored[1]) - norm.cdf(mirrored[0]))
    assert float(found) == pytest.approx(expected, rel=1e-6)
    found.backward()
    assert torch.isfinite(a.grad).all()


def test_the_check_is_the_surrogates_word(rocksalt, perovskite):
    model = surrogate_for("e_form", "formation-energy-graph")
    prediction = model.predict([rocksalt, perovskite])
    limit = float(prediction.mean[0])
    window = PropertyWindow("e_form", high=limit, risk=0.4, model="formation-energy-graph", only_known=False)
    verdict = window.check([rocksalt, perovskite])
    assert verdict.score[0] == pytest.approx(0.5)
    assert verdict.score[1] == pytest.approx(norm.cdf((limit - prediction.mean[1]) / prediction.std[1]), abs=1e-4)
    assert "lies below" in verdict.reasons[0]
    assert "probability of 50%, wanted 60%" in verdict.reasons[0]


def test_the_penalty_agrees_and_its_gradient_leads_into_the_window(perovskite):
    off = perovskite.copy()
    off.scale_lattice(1.3 * off.volume)
    off.translate_sites([0], [1.0, -2.0, 0.0], frac_coords=True, to_unit_cell=False)
    found = surrogate_for("e_form", "formation-energy-graph").predict([off]).mean[0]
    window = PropertyWindow("e_form", high=float(found) - 0.5, model="formation-energy-graph", only_known=False)
    batch = to_batch([off])
    batch.cell.requires_grad_()
    penalty = window.penalty(batch)
    assert float(penalty.detach()) == pytest.approx(np.log(0.9) - np.log(window.check([off]).score[0]), rel=1e-2)
    (down,) = torch.autograd.grad(penalty.sum(), batch.cell)
    moved = batch.clone()
    moved.cell = batch.cell.detach() - 0.02 * down / down.norm()
    assert window.penalty(moved) < penalty


def test_a_surrogate_without_gradient_only_checks():
    assert PropertyWindow("refractive_index", low=2).available() == ("check",)
    with pytest.raises(ConfigError, match="with these settings"):
        build_constraints([{"property_window": {"property": "refractive_index", "low": 2, "roles": ["penalty"]}}])
    with pytest.raises(ConfigError, match="cannot act as"):
        build_acting([{"property_window": {"property": "refractive_index", "low": 2}}])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"property": "e_form"}, "low, high or both"),
        ({"property": "e_form", "low": 1, "high": 0}, "low < high"),
        ({"property": "e_form", "high": 0, "risk": 0}, "risk between"),
        ({"property": "e_fom", "high": 0}, "e_form"),
        ({"property": "e_form", "high": 0, "model": "band-gap-graph"}, "predicts 'band_gap'"),
    ],
)
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_constraints([{"property_window": settings}])


def test_it_is_named_like_any_constraint():
    (window,) = build_constraints([parse_option("property_window:property=band_gap:low=1:high=2.5:risk=0.2")])
    assert window == PropertyWindow("band_gap", 1, 2.5, 0.2)
    assert build_constraints([specify(window)]) == (window,)


def test_an_ensemble_answers_together_and_leads_by_its_first_member(rocksalt, perovskite):
    whole, first = (load_surrogate("band-gap-graph") for _ in range(2))
    assert len(whole.networks) > 1
    first.networks = first.networks[:1]
    batch = to_batch([rocksalt, perovskite])
    batch.cell.requires_grad_()
    mean, std, known = whole.predict_tensors(batch)
    expected = whole.predict([rocksalt, perovskite])
    np.testing.assert_allclose(mean.detach(), expected.mean, atol=1e-4)
    np.testing.assert_allclose(std, expected.std, rtol=1e-3)
    np.testing.assert_array_equal(known, expected.in_domain)
    one = first.predict_tensors(batch)[0]
    assert (one - mean).abs().max() > 1e-3
    (ours,) = torch.autograd.grad(mean.sum(), batch.cell)
    (theirs,) = torch.autograd.grad(one.sum(), batch.cell)
    torch.testing.assert_close(ours, theirs)
