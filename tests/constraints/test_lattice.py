"""The given cell: projection is idempotent, passes the check, and acts in sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals import crystals
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.constraints.lattice import FixedLattice
from matgen.data.request import Request
from matgen.data.structures import from_batch, to_batch
from matgen.errors import ConfigError
from matgen.generators.flow import Flow
from matgen.runtime import Streams

HEXAGONAL = FixedLattice(a=4.0, b=4.0, c=5.0, gamma=120.0)


@settings(max_examples=30, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3))
def test_projecting_twice_is_projecting_once_and_passes(structures):
    once = HEXAGONAL.project(to_batch(structures))
    twice = HEXAGONAL.project(once)
    assert torch.equal(once.cell, twice.cell)
    assert torch.equal(once.frac, twice.frac)
    assert HEXAGONAL.check(from_batch(once)).passed.all()


def test_a_turned_cell_is_left_as_it_is():
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    batch = to_batch([Structure(Lattice(HEXAGONAL.lattice.matrix @ turn), ["Ga"], [[0, 0, 0]])])
    assert torch.equal(HEXAGONAL.project(batch).cell, batch.cell)


def test_reasons_name_the_worst_parameter():
    longer = Structure(Lattice.hexagonal(4.0, 5.5), ["Ga"], [[0, 0, 0]])
    assert HEXAGONAL.check([longer]).reasons == ("c is 5.500 Å, wanted 5.000 Å",)
    with pytest.raises(ConfigError, match="span a volume"):
        FixedLattice(a=4, b=4, c=4, alpha=10, beta=10, gamma=170)


def test_samples_have_the_cell(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = Flow(width=32, layers=2, heads=4, channels=8, max_atoms=8)
    flow.prepare(small_set)
    batch = flow.eval().sample(Request(n=3), rng=Streams(0, "x"), constraints=[HEXAGONAL], steps=3)
    assert HEXAGONAL.check(from_batch(batch)).passed.all()
