"""Likelihood of a flow against closed forms."""

from __future__ import annotations

from math import log, pi

import pytest
import torch

from matgen.generators.dense import Crystals
from matgen.generators.flow import Flow

SHIFT = torch.tensor([0.3, -0.2, 0.1, 0.0, 0.4, 0.5])


@pytest.fixture
def flow(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Flow(width=16, layers=1, heads=2, channels=4, max_atoms=8)
    model.prepare(small_set)
    with torch.no_grad():
        for parameter in [*model.coordinate_head.parameters(), *model.cell_head[2].parameters()]:
            parameter.zero_()
    return model.eval()


def test_constant_velocity_moves_the_normal_density(flow, small_set):
    with torch.no_grad():
        flow.cell_head[2].bias.copy_(SHIFT)
    batch = small_set.batch(torch.arange(4))
    x = Crystals.of(batch)
    start = flow.standardise(x.cell, x.real.sum(1)) - SHIFT
    expected = -start.square().sum(1) / 2 - 3 * log(2 * pi) - flow.cell_std.log().sum()
    found = flow.log_prob(batch, rng=torch.Generator().manual_seed(0), steps=5)
    assert torch.allclose(found, expected, atol=1e-4)


def test_trace_of_a_linear_field_is_its_diagonal(flow, small_set, monkeypatch):
    monkeypatch.setattr(flow, "forward", lambda n, frac, cell, real, *rest: (0 * frac, -0.5 * cell, None))
    batch = small_set.batch(torch.arange(3))
    x = Crystals.of(batch)
    end = flow.standardise(x.cell, x.real.sum(1))
    start = end * 1.005**100  # Euler steps backwards along dx/dt = -x/2
    expected = -start.square().sum(1) / 2 - 3 * log(2 * pi) + 3.0 - flow.cell_std.log().sum()
    found = flow.log_prob(batch, rng=torch.Generator().manual_seed(0), steps=100)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-3)
