"""The network of sentence order learns a plain order, and learns the same again."""

import numpy as np
import pytest

from matgen.assistant import order_training
from matgen.assistant.mentions import taken_up
from matgen.assistant.order_training import describe, train_order
from matgen.assistant.ordering import pair_logits

METALS = ["Iron", "Nickel", "Copper", "Zinc", "Silver", "Gold", "Tin", "Lead", "Cobalt", "Chromium"]


def abstract(metal, other):
    return (
        f"{metal} is a widely used metal. However, its reaction with {other.lower()} is not understood. "
        f"Here, we heat a film of {metal.lower()} on {other.lower()}. The film melts at 900 K. "
        f"These results explain how {metal.lower()} and {other.lower()} mix."
    )


TEXTS = [abstract(a, b) for a in METALS for b in METALS[:3] if a != b]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(order_training, "WINDOW_STEPS", 20)
    monkeypatch.setattr(order_training, "WINDOW_BATCH", 8)
    monkeypatch.setattr(order_training, "BATCH", 64)


def test_training_learns_the_order_and_repeats_itself(short):
    weights, scores = train_order(TEXTS, np.random.default_rng(3))
    assert scores["pairs of sentences"] > 0.9
    parts = [s + "." for s in abstract("Platinum", "Tungsten").rstrip(".").split(". ")]
    logits = pair_logits(describe(parts), taken_up(parts), weights)
    assert (logits[np.triu_indices(len(parts), 1)] > 0).mean() > 0.8
    again, _ = train_order(TEXTS, np.random.default_rng(3))
    assert weights.keys() == again.keys()
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_windows_longer_than_every_text_are_left_out(short, monkeypatch):
    monkeypatch.setattr(order_training, "WINDOWS", range(5, 8))
    weights, _ = train_order(TEXTS, np.random.default_rng(4))
    assert all(np.isfinite(value).all() for value in weights.values())
