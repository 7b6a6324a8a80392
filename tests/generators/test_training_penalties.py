"""Penalties of constraints in the training loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matgen.data.structures import to_batch
from matgen.errors import ConfigError
from matgen.generators.base import load_generator
from matgen.generators.dense import Crystals
from matgen.generators.diffusion import Diffusion
from matgen.generators.flow import Flow
from matgen.generators.paths import shortest, variance_preserving
from matgen.generators.penalties import Penalties
from matgen.generators.vae import VAE
from matgen.nn.cell import stretch

SIZE = {"width": 32, "layers": 1, "heads": 2, "channels": 4, "max_atoms": 20}
PENALTIES = [
    {"constraint": {"min_distance": {"radius_factor": 0.9}}, "weight": 0.3},
    {"constraint": {"volume_per_atom": {"low": 60.0}}, "weight": 0.1},
]


@pytest.mark.parametrize("family", [Flow, Diffusion])
def test_the_loss_is_that_without_them_and_the_weighted_penalty(family, small_set):
    torch.manual_seed(0)
    plain = family(**SIZE)
    plain.prepare(small_set)
    model = family(**SIZE, penalties=PENALTIES)
    model.load_state_dict(plain.state_dict())
    batch = small_set.batch(torch.arange(len(small_set)))
    without = plain.loss(batch, torch.Generator().manual_seed(1))
    losses = model.loss(batch, torch.Generator().manual_seed(1))
    assert losses["penalty"] > 0
    assert float(losses["loss"]) == pytest.approx(float(without["loss"] + losses["penalty"]), rel=1e-5)
    losses["loss"].backward()
    gradients = [p.grad for p in model.coordinate_head.parameters()] + [p.grad for p in model.cell_head.parameters()]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("family", [Flow, Diffusion])
def test_a_network_that_is_right_pays_the_penalty_of_the_data(family, small_set, monkeypatch):
    model = family(**SIZE, penalties=PENALTIES)
    model.prepare(small_set)
    batch = small_set.batch(torch.arange(len(small_set)))
    x1 = Crystals.of(batch)
    clean = model.standardise(x1.cell, x1.real.sum(1))

    def right(numbers, frac, cell, real, t, *rest, **more):
        alpha, sigma = variance_preserving(t)
        left = 1 - t if family is Flow else sigma / (alpha + sigma)
        towards = shortest(x1.frac - frac) / (1 - t)[:, None, None]
        return towards, (clean - cell) / left[:, None], torch.zeros(*numbers.shape, 119)

    seen = []
    monkeypatch.setattr(model, "forward", right)
    monkeypatch.setattr(Penalties, "__call__", lambda self, *args: (seen.append(args), torch.zeros(()))[1])
    model.loss(batch, torch.Generator().manual_seed(2))
    _, frac, basis, real, *_ = seen[0]
    shift = (frac - x1.frac)[real]
    assert (shift - shift.round()).abs().max() < 1e-3
    assert torch.allclose(basis, stretch(x1.cell), rtol=1e-2, atol=1e-2)


def test_they_are_what_the_constraint_says_of_late_systems(rocksalt, perovskite):
    batch = to_batch([rocksalt, perovskite])
    x1 = Crystals.of(batch)
    penalties = Penalties.of([{"constraint": {"volume_per_atom": {"low": 60}}, "weight": 0.5}])
    basis = stretch(x1.cell)
    found = penalties(x1.numbers, x1.frac, basis, x1.real, torch.tensor([0.9, 0.2]))
    (volume,) = [constraint.penalty(batch)[0] for constraint, _ in penalties.terms]
    assert float(found) == pytest.approx(0.5 * float(volume), rel=1e-4)
    assert penalties(x1.numbers, x1.frac, basis, x1.real, torch.tensor([0.1, 0.2])) == 0


def test_charge_neutrality_teaches_the_element_logits(small_set):
    model = Flow(**SIZE, penalties=[{"constraint": "charge_neutral", "weight": 1.0}])
    model.prepare(small_set)
    batch = small_set.batch(torch.arange(len(small_set)))
    losses = [model.loss(batch, torch.Generator().manual_seed(seed)) for seed in range(4)]
    penalty = sum(
        each["loss"] - (2 * each["coordinate"] + 0.5 * each["cell"] + 0.2 * each["element"]) for each in losses
    )
    assert float(penalty.detach()) > 0
    assert all(float(each["penalty"]) >= 0 for each in losses)


def test_the_card_keeps_them_and_others_stay_as_they_are(tmp_path, small_set):
    model = Flow(**SIZE, penalties=PENALTIES)
    model.prepare(small_set)
    model.save(tmp_path)
    assert load_generator(tmp_path).penalties == model.penalties
    assert "penalties" not in Flow(**SIZE).config


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"constraint": "price"}, "cannot act as 'penalty'"),
        ({"constraint": "min_distance", "wieght": 1}, "weight"),
        ({"constraint": "min_distance", "weight": 0}, "positive weight"),
        ({"weight": 1}, "no penalty"),
    ],
)
def test_mistakes_are_refused(entry, message):
    with pytest.raises(ConfigError, match=message):
        Flow(**SIZE, penalties=[entry])


def test_a_family_without_them_refuses():
    with pytest.raises(ConfigError, match="has no penalties"):
        VAE(**SIZE, penalties=PENALTIES)


def test_training_lowers_the_penalty(tmp_path, small_set):
    from matgen.training import Training, fit

    entries = [{"constraint": {"volume_per_atom": {"low": 60.0}}, "weight": 2.0}]
    settings = Training(steps=30, atoms=64, lr=3e-3, warmup=2, precision="32-true", save_every=30, ema=0.5)
    torch.manual_seed(0)
    model = Flow(**SIZE, penalties=entries)
    model.prepare(small_set)
    seen: list[float] = []
    fit(model, small_set, tmp_path, settings, progress=lambda step, steps, losses: seen.append(losses["penalty"]))
    assert np.mean(seen[-8:]) < np.mean(seen[:8])
