"""Noise paths against closed forms."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from matgen.generators.paths import centred, pair_noise, revealed, shortest, straight, torus

seeds = st.integers(0, 2**31)


def _draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seeds)
def test_torus_runs_from_noise_to_data_along_the_shorter_way(seed):
    noise, data = _draw(seed, 3, 5, 3), _draw(seed + 1, 3, 5, 3)
    start, velocity = torus(noise, data, torch.zeros(3, dtype=torch.float64))
    end, _ = torus(noise, data, torch.ones(3, dtype=torch.float64))
    assert torch.allclose(start, noise)
    assert shortest(end - data).abs().max() < 1e-12
    assert velocity.abs().max() <= 0.5


@given(seeds)
def test_torus_velocity_is_the_derivative_of_the_path(seed):
    noise, data = _draw(seed, 2, 4, 3), _draw(seed + 1, 2, 4, 3)
    t, dt = torch.full((2,), 0.4, dtype=torch.float64), 1e-6
    before, velocity = torus(noise, data, t - dt)
    after, _ = torus(noise, data, t + dt)
    assert torch.allclose(shortest(after - before) / (2 * dt), velocity, atol=1e-6)


def test_straight_path_has_constant_velocity():
    noise, data = torch.zeros(1, 6), torch.ones(1, 6)
    x, velocity = straight(noise, data, torch.tensor([0.25]))
    assert torch.equal(x, torch.full((1, 6), 0.25))
    assert torch.equal(velocity, torch.ones(1, 6))


def test_share_of_revealed_elements_grows_linearly_and_is_complete_at_the_end():
    clock = torch.linspace(0, 0.999, 1000)[None]
    shares = [revealed(clock, torch.tensor([t]), end=0.75).float().mean().item() for t in (0.0, 0.375, 0.75, 1.0)]
    assert shares[0] == 0.0
    assert abs(shares[1] - 0.5) < 0.01
    assert shares[2:] == [1.0, 1.0]


@given(seeds)
def test_centred_velocity_has_no_mean_and_nothing_on_padding(seed):
    velocity = _draw(seed, 2, 4, 3)
    real = torch.tensor([[True] * 4, [True, True, False, False]])
    out = centred(velocity, real)
    assert out.sum(1).abs().max() < 1e-12
    assert (out[1, 2:] == 0).all()


@given(seeds)
def test_paired_noise_keeps_its_points_up_to_a_common_shift_and_never_lengthens_the_way(seed):
    noise, data = _draw(seed, 1, 6, 3), _draw(seed + 1, 1, 6, 3)
    kinds = torch.tensor([[1, 1, 1, 2, 2, 3]])
    real = torch.ones(1, 6, dtype=torch.bool)
    paired = pair_noise(noise, data, kinds, real)
    for kind in (1, 2):
        rows = kinds[0] == kind
        shift = (paired[0, rows][:, None] - noise[0, rows][None]) % 1.0
        # One common shift maps each paired point onto a noise point of its kind.
        common = (paired[0, -1] - noise[0, -1]) % 1.0
        assert (shortest(shift - common).norm(dim=-1).min(dim=1).values < 1e-9).all()
    assert shortest(data - paired).square().sum() <= shortest(data - noise).square().sum() + 1e-9


def test_atoms_of_different_kinds_are_not_exchanged():
    noise = torch.tensor([[[0.0, 0, 0], [0.3, 0, 0]]], dtype=torch.float64)
    data = torch.tensor([[[0.3, 0, 0], [0.0, 0, 0]]], dtype=torch.float64)
    real = torch.ones(1, 2, dtype=torch.bool)
    same = pair_noise(noise, data, torch.tensor([[1, 1]]), real)
    other = pair_noise(noise, data, torch.tensor([[1, 2]]), real)
    assert torch.allclose(same, data)
    assert torch.allclose(other, noise)
