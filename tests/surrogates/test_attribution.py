"""Contributions of atoms, where they can be known."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.property import find_property
from matgen.surrogates.attribution import element_contributions, site_contributions
from matgen.surrogates.graph import GraphEnsemble

from .conftest import crystals

SETTINGS = {"members": 1, "epochs": 12, "width": 16, "angular": 4, "layers": 1, "neighbours": 8, "batch": 32}


def heaviness(structures: list[Structure]) -> np.ndarray:
    """A sum over atoms that only anions have: ten times the share of sulphur."""
    return np.array([10 * s.composition.get_atomic_fraction("S") for s in structures])


@pytest.fixture(scope="module")
def model() -> GraphEnsemble:
    some = crystals(140, seed=4)
    model = GraphEnsemble(find_property("density"), **SETTINGS, rate=1e-2, held_out=0.2, jitter=0.0, strain=0.0)
    model.fit(some, heaviness(some), rng=np.random.default_rng(0))
    return model


def test_the_atoms_that_matter_contribute(model):
    found = element_contributions(model, crystals(30, seed=5))
    assert found["features"].iloc[0] == "S"
    assert found["contribution"].iloc[0] > 0
    assert found["size"].is_monotonic_decreasing


def test_one_table_a_structure_and_shares_sum_to_one(model):
    structures = [*crystals(3, seed=6), Structure(Lattice.cubic(3), ["Fe"], [[0, 0, 0]]), crystals(1, seed=7)[0]]
    tables = site_contributions(model, structures)
    assert [len(table) for table in tables] == [2, 2, 2, 1, 2]
    assert all(table["share"].sum() == pytest.approx(1.0) for table in tables)
    assert tables[3]["contribution"].isna().all()
    alone = site_contributions(model, structures[-1:])[0]
    np.testing.assert_allclose(tables[-1]["contribution"], alone["contribution"], rtol=1e-3, atol=1e-3)


def test_nothing_in_nothing_out(model):
    assert site_contributions(model, []) == []
