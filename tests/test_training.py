"""The training loop: schedule, resuming, and refusing what does not fit."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch
from torch import nn

from matgen.errors import ConfigError
from matgen.precision import training_precision
from matgen.training import METRICS, Training, fit


class Line(nn.Module):
    """Learns the mean volume of a cell; noisy, so that the random streams matter."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)

    def loss(self, batch, rng):
        noise = torch.randn(len(batch.cell), generator=rng)
        size = batch.cell.diagonal(dim1=1, dim2=2)
        error = self.layer(size)[:, 0] - torch.linalg.det(batch.cell).abs() / 50 + 0.1 * noise
        return {"loss": error.square().mean()}


def _model() -> Line:
    model = Line()
    nn.init.constant_(model.layer.weight, 0.1)
    nn.init.zeros_(model.layer.bias)
    return model


SETTINGS = Training(steps=30, atoms=12, lr=0.05, warmup=3, ema=0.9, precision="32-true", save_every=7)


def test_resumed_training_equals_an_undisturbed_one(small_set, tmp_path):
    whole = fit(_model(), small_set, tmp_path / "whole", SETTINGS)

    class StoppedError(Exception):
        pass

    def stop(step, *_):
        if step == 17:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(_model(), small_set, tmp_path / "parts", SETTINGS, progress=stop)
    resumed = fit(_model(), small_set, tmp_path / "parts", SETTINGS)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_loss_falls_and_is_recorded(small_set, tmp_path):
    fit(_model(), small_set, tmp_path, SETTINGS, validation=small_set)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [7, 14, 21, 28, 30]
    assert lines[-1]["validation_loss"] < lines[0]["validation_loss"]


def test_checkpoint_of_another_model_is_refused(small_set, tmp_path):
    fit(_model(), small_set, tmp_path, Training(steps=2, atoms=12, precision="32-true", save_every=1))
    with pytest.raises(ConfigError, match="belongs to other settings"):
        fit(_model(), small_set, tmp_path, Training(steps=2, atoms=24, precision="32-true", save_every=1))


def test_rate_warms_up_stays_and_falls_to_zero():
    settings = Training(steps=1000, lr=1.0, warmup=100, cooldown=0.3)
    assert settings.rate(0) == pytest.approx(0.01)
    assert settings.rate(99) == pytest.approx(1.0)
    assert settings.rate(600) == pytest.approx(1.0)
    assert settings.rate(850) == pytest.approx(0.5)
    assert settings.rate(1000) == pytest.approx(0.0)


class Pair(Line):
    """A line and a copy that learns at another pace, with a buffer that follows the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.paces = {"fast": 3.0}
        self.fast = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self, batch, rng):
        self.seen += self.training
        size = batch.cell.diagonal(dim1=1, dim2=2)
        return {"loss": sum(layer(size).mean() for layer in (self.layer, self.fast))}


def test_a_part_learns_at_its_own_pace_and_buffers_follow_the_model(small_set, tmp_path):
    model = Pair()
    before = [layer.weight.detach().clone() for layer in (model.layer, model.fast)]
    settings = Training(steps=5, atoms=12, lr=0.01, warmup=1, weight_decay=0.0, betas=(0.0, 0.9), precision="32-true")
    average = fit(model, small_set, tmp_path, settings)
    layers = zip((model.layer, model.fast), before, strict=True)
    own, fast = ((layer.weight.detach() - old).mean().item() for layer, old in layers)
    assert own < 0
    assert fast == pytest.approx(3 * own, rel=1e-4)
    assert average.seen == 5


def test_decay_of_gradients_is_a_setting(small_set, tmp_path):
    made = []
    for betas in ((0.9, 0.98), (0.0, 0.98)):
        settings = Training(steps=4, atoms=12, lr=0.05, warmup=1, precision="32-true", betas=betas)
        made.append(fit(_model(), small_set, tmp_path / str(betas[0]), settings).layer.weight)
    assert not torch.allclose(made[0], made[1])


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_not_emulated(native, small_set, tmp_path, monkeypatch):
    class Watched(Line):
        seen: ClassVar[set[bool]] = set()

        def loss(self, batch, rng):
            self.seen.add(torch.is_autocast_enabled("cpu"))
            return super().loss(batch, rng)

    monkeypatch.setattr("matgen.precision.native_bfloat16", lambda device: native)
    settings = Training(steps=2, atoms=12, warmup=1, precision="bf16-mixed", device="cpu", save_every=2)
    fit(Watched(), small_set, tmp_path, settings)
    assert Watched.seen == {native}


def test_other_precisions_are_as_wanted(monkeypatch):
    monkeypatch.setattr("matgen.precision.native_bfloat16", lambda device: False)
    wanted = ("bf16-mixed", "16-mixed", "32-true")
    assert [training_precision(p, "cpu") for p in wanted] == ["32-true", "16-mixed", "32-true"]
