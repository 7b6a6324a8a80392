"""The training loop: what it minimises, and that an interruption changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matgen.data.property import find_property
from matgen.surrogates import members
from matgen.surrogates.composition import CompositionEnsemble, CompositionNetwork
from matgen.surrogates.members import Schedule, Task, loss_of, train_member

from .conftest import difference

SCHEDULE = Schedule(epochs=6, batch=16, rate=3e-3, decay=1e-2)


def line(n: int = 64) -> Task:
    x = torch.linspace(-1, 1, n)[:, None].expand(n, 6).contiguous()
    return Task(list(x), x[:, 0] * 2, lambda items, noise: torch.stack(list(items)))


def network() -> CompositionNetwork:
    torch.manual_seed(3)
    return CompositionNetwork(4, 2, 16, dropout=0.2)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3, 5])
def test_killed_and_resumed_equals_undisturbed(tmp_path, monkeypatch, after):
    whole = network()
    train_member(whole, line(), SCHEDULE, seed=7)
    keep, kept = members._keep, []

    def stop(*args):
        keep(*args)
        kept.append(args)
        if len(kept) == after:
            raise KilledError

    monkeypatch.setattr(members, "_keep", stop)
    with pytest.raises(KilledError):
        train_member(network(), line(), SCHEDULE, 7, tmp_path / "member.pt")
    monkeypatch.setattr(members, "_keep", keep)
    resumed = network()
    train_member(resumed, line(), SCHEDULE, 7, tmp_path / "member.pt")
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_training_learns_a_line():
    net, task = network(), line()
    train_member(net, task, Schedule(epochs=60, batch=16, rate=5e-3, decay=0.0), seed=1)
    with torch.no_grad():
        mean, _, _ = net(torch.stack(list(task.items)))
    assert (mean - task.values).abs().mean() < 0.25 * task.values.abs().mean()


def test_width_is_best_at_the_mean_error():
    """For errors of mean absolute size m, the likelihood part m/b + log b is least at b = m."""
    errors = torch.tensor([0.1, 0.2, 0.6])
    log_b = torch.zeros(3, requires_grad=True)
    logs = np.linspace(-3, 1, 81)
    losses = [float(loss_of(torch.zeros(3), log_b.detach() + float(b), errors)) for b in logs]
    assert np.exp(logs[int(np.argmin(losses))]) == pytest.approx(0.3, rel=0.05)


def test_width_does_not_pull_at_the_mean():
    mean = torch.tensor([0.0, 1.0], requires_grad=True)
    loss_of(mean, torch.tensor([-4.0, 4.0]), torch.tensor([1.0, 0.0])).backward()
    torch.testing.assert_close(mean.grad, torch.tensor([-0.5, 0.5]))


def test_every_member_begins_from_the_model_it_starts_from(training, tmp_path):
    def fitted(**settings) -> CompositionEnsemble:
        model = CompositionEnsemble(find_property("e_form"), width=16, epochs=1, **settings)
        model.fit(training, difference(training), rng=np.random.default_rng(0))
        return model

    parent = fitted(members=1)
    parent.save(tmp_path / "parent", title="parent")
    child = fitted(members=2, start=str(tmp_path / "parent"), rate=1e-9)  # at which nothing is learned
    assert len(child.networks) == 2
    for network in child.networks:
        for ours, theirs in zip(network.parameters(), parent.networks[0].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=1e-4)
    apart = fitted(members=2, start=str(tmp_path / "parent"), rate=1e-2).networks
    assert any(not torch.equal(a, b) for a, b in zip(apart[0].parameters(), apart[1].parameters(), strict=True))
