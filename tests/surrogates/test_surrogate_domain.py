"""Distances to the training data."""

from __future__ import annotations

import numpy as np
import pytest

from matgen.surrogates.domain import Domain


def test_a_reference_is_not_its_own_neighbour():
    """Rows that were learned from lie as far from the others as fresh rows do, once they do not count themselves."""
    rows = np.random.default_rng(0).normal(size=(1200, 6))
    training, fresh = rows[:600], rows[600:]
    domain = Domain.fit(training, fresh, np.ones(119, dtype=bool))
    own = domain.distance(training, np.ones(600, dtype=bool))
    assert own.mean() == pytest.approx(domain.distance(fresh).mean(), rel=0.03)
    assert domain.distance(training).mean() < 0.9 * own.mean()
    mixed = np.arange(600) % 2 == 0
    np.testing.assert_allclose(domain.distance(training, mixed)[mixed], own[mixed])
    np.testing.assert_allclose(domain.distance(training, mixed)[~mixed], domain.distance(training)[~mixed])
