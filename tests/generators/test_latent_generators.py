"""Generators on the codes of an autoencoder: the battery, exact likelihood, mixing of parents."""

from __future__ import annotations

import math

import pytest
import torch

from matgen.data.request import Request
from matgen.errors import ConfigError
from matgen.generators.arrangement import rearranged
from matgen.generators.base import load_generator
from matgen.generators.gan import GAN
from matgen.generators.latent_diffusion import LatentDiffusion
from matgen.generators.latent_prior import CodeFlow
from matgen.generators.normalizing_flow import NormalizingFlow
from matgen.generators.vae import VAE
from matgen.runtime import Streams
from matgen.testing import check_generator

KINDS = {
    "latent-diffusion": {"width": 16, "layers": 1},
    "gan": {"width": 16, "depth": 3},
    "normalizing-flow": {"width": 16, "transforms": 2, "bins": 4},
}


@pytest.fixture(scope="module")
def autoencoder(small_set, tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(width=16, layers=1, heads=2, channels=4, max_atoms=8, code=6, encoder_width=12, encoder_layers=1)
    model.prepare(small_set)
    folder = tmp_path_factory.mktemp("models") / "vae"
    model.save(folder)
    return folder


def _made(kind, autoencoder, small_set):
    if kind == "normalizing-flow":
        pytest.importorskip("zuko")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = load_generator(kind, autoencoder=str(autoencoder), max_atoms=8, **KINDS[kind])
    model.prepare(small_set)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_battery(kind, autoencoder, small_set):
    check_generator(_made(kind, autoencoder, small_set), small_set, n=2, steps=2, candidates=4)


def test_density_of_the_coupling_flow_integrates_the_change_of_variables(autoencoder, small_set):
    model = _made("normalizing-flow", autoencoder, small_set)
    noise = torch.randn(1, 6, generator=torch.Generator().manual_seed(3))
    jacobian = torch.autograd.functional.jacobian(
        lambda x: model.bijection().transform.inv(x) * model.code_std + model.code_mean, noise
    )[0, :, 0]
    base = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum()
    expected = base - torch.linalg.slogdet(jacobian).logabsdet
    assert model.code_log_prob(model.draw_codes(noise))[0].item() == pytest.approx(expected.item(), abs=1e-3)


def test_contrast_lowers_the_density_of_permuted_crystals(autoencoder, small_set):
    pytest.importorskip("zuko")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NormalizingFlow(autoencoder=str(autoencoder), max_atoms=8, contrast=3.0, **KINDS["normalizing-flow"])
    batch = small_set.batch(torch.arange(len(small_set)))
    model.prepare(small_set)
    other = rearranged(batch, torch.Generator().manual_seed(0))
    batch.code, batch.permuted_code = (model.autoencoder.encode_prepared(b).detach() for b in (batch, other))
    optimizer = torch.optim.Adam(model.bijection.parameters(), 1e-2)
    rng = torch.Generator().manual_seed(0)
    history = []
    for _ in range(40):
        losses = model.loss(batch, rng)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["ranking"].item())
    assert history[-1] < 0.8 * history[0]
    changed = (batch.code != batch.permuted_code).any(1)
    with torch.no_grad():
        difference = model.code_log_prob(batch.code) - model.code_log_prob(batch.permuted_code)
    assert changed.any()
    assert difference[changed].mean() > 0
    assert torch.allclose(difference[~changed], torch.zeros(()))


def test_contrast_ranks_all_pairs(autoencoder, small_set):
    model = _made("normalizing-flow", autoencoder, small_set)
    close, far = torch.tensor([10.0, 12.0]), torch.tensor([10.0])
    expected = (math.log1p(math.exp(4)) + math.log1p(math.exp(4 - 2 * 16 / 6))) / 2
    assert model.ranking(close, far).item() == pytest.approx(expected, rel=1e-5)


def test_children_follow_one_parent_up_to_a_depth(autoencoder, small_set):
    model = _made("gan", autoencoder, small_set)
    assert isinstance(model, GAN)
    first, second = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)).unbind(0)
    children = [model.mix(first, second, depth) for depth in range(4)]
    assert torch.allclose(children[0], second, atol=1e-5)
    assert torch.allclose(children[3], first, atol=1e-5)
    chemical, middle = model.autoencoder.chemical_size, 3 // 2
    assert torch.allclose(children[middle][:, :chemical], first[:, :chemical], atol=1e-5)
    assert not torch.allclose(children[middle][:, chemical:], first[:, chemical:], atol=1e-2)
    assert not torch.allclose(children[2], children[1])


def test_generator_does_not_learn_from_the_critics_own_loss(autoencoder, small_set):
    model = _made("gan", autoencoder, small_set).train()
    codes = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    losses = model.code_loss(codes, torch.Generator().manual_seed(1))
    losses["loss"].backward()
    pulled = [weight.grad.clone() for weight in model.mapping.parameters()]
    with torch.no_grad():
        model.critic.leave.weight.mul_(-1)  # a critic of the opposite opinion turns the pull on the mapping round
    model.zero_grad()
    model.code_loss(codes, torch.Generator().manual_seed(1))["loss"].backward()
    turned = [weight.grad for weight in model.mapping.parameters()]
    assert max(g.abs().max() for g in pulled) > 0
    assert all(torch.allclose(a, -b, atol=1e-3) for a, b in zip(pulled, turned, strict=True))


def test_critic_reaches_the_slope_that_the_penalty_asks_for(autoencoder, small_set):
    model = _made("gan", autoencoder, small_set).train()
    optimizer = torch.optim.Adam(model.critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    rng = torch.Generator().manual_seed(0)
    for _ in range(100):
        optimizer.zero_grad()
        model.code_loss(3 + torch.randn(32, 6, generator=rng), rng)["loss"].backward()
        optimizer.step()
    real, made = 3 + torch.randn(200, 6, generator=rng), model._made(torch.randn(200, 6, generator=rng)).detach()
    between = ((real + made) / 2).requires_grad_()
    (slope,) = torch.autograd.grad(model.critic(between).sum(), between)
    assert 0.7 < slope.norm(dim=-1).mean() < 1.6
    assert model.critic(real).mean() - model.critic(made).mean() > 0.7 * (real.mean(0) - made.mean(0)).norm()


def test_draws_differ_before_any_training(autoencoder, small_set):
    drawn = _made("gan", autoencoder, small_set)._made(torch.randn(500, 6, generator=torch.Generator().manual_seed(0)))
    assert drawn.std(0).min() > 0.05


def test_another_autoencoder_than_in_the_training_is_refused(autoencoder, small_set, tmp_path):
    model = _made("latent-diffusion", autoencoder, small_set)
    assert isinstance(model, LatentDiffusion)
    model.save(tmp_path / "latent")
    model.card["autoencoder"] = "another"
    with pytest.raises(ConfigError, match="trained on codes of another"):
        model.sample(Request(n=1), rng=Streams(0, "x"), steps=2)
    with pytest.raises(ConfigError, match="no autoencoder"):
        LatentDiffusion(autoencoder="retrieval")


def test_code_flow_learns_where_codes_lie():
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = CodeFlow(2, width=32, layers=1)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for _ in range(300):
        codes = torch.tensor([[2.0, -1.0]]) + 0.1 * torch.randn(128, 2, generator=rng)
        optimizer.zero_grad()
        flow.loss(codes, rng).backward()
        optimizer.step()
    drawn = flow.sample(torch.randn(200, 2, generator=rng))
    assert (drawn.mean(0) - torch.tensor([2.0, -1.0])).abs().max() < 0.15
    assert drawn.std(0).max() < 0.4
