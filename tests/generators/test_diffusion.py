"""The diffusion generator: the battery, its paths against closed forms, and its samplers."""

from __future__ import annotations

import pytest
import torch

from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.generators.diffusion import Diffusion
from matgen.generators.diffusion_sampler import fresh_share
from matgen.generators.flow import Flow
from matgen.generators.paths import shortest, variance_preserving, wrapped_normal, wrapped_width
from matgen.generators.training import start_weights
from matgen.runtime import Streams
from matgen.testing import check_generator

TINY = {"width": 16, "layers": 1, "heads": 2, "channels": 4, "max_atoms": 8, "targets": ["band_gap"]}


@pytest.fixture(scope="module")
def diffusion(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Diffusion(**TINY)
    model.prepare(small_set)
    return model.eval()


def test_battery(diffusion, small_set):
    check_generator(diffusion, small_set, n=3, steps=3)


@pytest.mark.parametrize(
    "options", [{"noise": 1.0}, {"noise": 1.0, "corrections": 1}, {"noise": 0.5, "sharpening": 0.0}]
)
def test_every_sampler_repeats_and_gives_crystals(diffusion, options):
    first, second = (
        from_batch(diffusion.sample(Request(n=3), rng=Streams(1, "d"), steps=3, **options)) for _ in range(2)
    )
    assert first == second
    assert all(structure.volume > 0 for structure in first)


def test_variance_is_preserved_and_the_ratio_is_the_time():
    t = torch.linspace(0, 1, 11)
    alpha, sigma = variance_preserving(t)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(11))
    assert torch.allclose(alpha / (alpha + sigma), t)


def test_scaled_score_points_back_to_the_data_where_noise_is_small():
    data = torch.tensor([[[0.95, 0.1, 0.5]]], dtype=torch.float64)
    noise = torch.tensor([[[1.0, -2.0, 0.5]]], dtype=torch.float64)
    t = torch.tensor([0.9], dtype=torch.float64)
    x, velocity = wrapped_normal(noise, data, t)
    assert torch.allclose(x + 0.1 * velocity, data + (x + 0.1 * velocity - data).round(), atol=1e-9)
    assert torch.allclose(shortest(x - data), wrapped_width(t) * noise)


def test_scaled_score_is_the_gradient_of_the_wrapped_density():
    t, data = torch.tensor([0.4], dtype=torch.float64), torch.tensor([[[0.3, 0.7, 0.2]]], dtype=torch.float64)
    noise = torch.tensor([[[0.8, -1.1, 0.3]]], dtype=torch.float64)
    x, velocity = wrapped_normal(noise, data, t)
    place = x.clone().requires_grad_()
    images = shortest(place - data)[..., None] + torch.arange(-3, 4)
    density = torch.exp(-images.square() / (2 * wrapped_width(t) ** 2)).sum(-1)
    (score,) = torch.autograd.grad(density.log().sum(), place)
    assert torch.allclose(velocity, wrapped_width(t) ** 2 * score / 0.6)


def test_noise_is_kept_without_churn_and_ancestral_with_it():
    assert fresh_share(0.0, 0.5, 0.2) == 0.0
    kept = 0.2 * (1 - fresh_share(1.0, 0.5, 0.2) ** 2) ** 0.5
    assert kept == pytest.approx(0.2**2 / 0.5)  # the ancestral sampler's mean contracts by the ratio of variances


def test_a_training_starts_from_the_weights_that_agree(small_set, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        parent, child, other = Flow(**TINY), Diffusion(**TINY), Flow(**{**TINY, "width": 8})
    parent.prepare(small_set)
    parent.save(tmp_path / "parent")
    said = start_weights(child, tmp_path / "parent")
    assert said == {"model": "parent", "fingerprint": parent.fingerprint, "share_of_weights": 1.0}
    ours = dict(child.named_parameters())
    assert all(torch.equal(value, ours[name]) for name, value in parent.named_parameters())
    assert start_weights(other, tmp_path / "parent")["share_of_weights"] < 1.0


def test_a_parent_without_weights_is_refused(diffusion):
    with pytest.raises(ConfigError, match="shares no weights"):
        start_weights(diffusion, "retrieval")
