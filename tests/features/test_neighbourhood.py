"""Pairs of atoms that several penalties share."""

from __future__ import annotations

import numpy as np
import torch
from crystals import crystals
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.data.structures import to_batch
from matgen.features.distances import shortest_distances
from matgen.features.neighbourhood import Neighbourhood


@settings(max_examples=30, deadline=None)
@given(structures=st.lists(crystals(max_atoms=4), min_size=1, max_size=3), reach=st.floats(0.5, 3.0))
def test_the_nearest_pairs_are_the_shortest_distances(structures, reach):
    batch = to_batch(structures)
    around = Neighbourhood(batch)
    limits = np.array([min(reach, 1.5 * s.volume ** (1 / 3)) for s in structures])
    around.within(0.5 * limits)
    pairs = around.within(limits)  # wider than before
    assert np.allclose(pairs.lengths(batch), pairs.distance)
    for i, s in enumerate(structures):
        mine = pairs[pairs.system == i]
        nearest = np.full((len(s), len(s)), np.inf)
        np.minimum.at(nearest, (mine.centre - around.first[i], mine.other - around.first[i]), mine.distance)
        shortest = shortest_distances(s.frac_coords, s.lattice.matrix)
        # Own places count for nobody; atoms on one another have no pair here.
        assert np.allclose(nearest[nearest < np.inf], shortest[nearest < np.inf], atol=1e-6)
        assert (nearest < np.inf).sum() == ((shortest <= limits[i]) & (shortest > 0)).sum()


def test_a_batch_shares_what_it_carries_and_degenerate_cells_have_no_pairs(rocksalt):
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["Na"], [[0, 0, 0]])
    batch = to_batch([rocksalt, flat])
    assert Neighbourhood.of(batch) is not Neighbourhood.of(batch)
    batch.neighbourhood = Neighbourhood(batch)
    assert Neighbourhood.of(batch) is batch.neighbourhood
    pairs = batch.neighbourhood.within(np.array([4.0, 4.0]))
    assert batch.neighbourhood.usable.tolist() == [True, False]
    assert set(pairs.system) == {0}
    summed = batch.neighbourhood.summed(pairs.system, torch.ones(len(pairs.system)), 7.0)
    assert summed.tolist() == [len(pairs.system), 7.0]
