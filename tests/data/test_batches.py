"""Canonical cells and batches of tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from matgen.data.batches import TrainingSet, canonical
from matgen.data.structures import from_batch, to_batch


@pytest.mark.parametrize("transformation", [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [2, 0, 1]]])
def test_canonical_cell_does_not_depend_on_the_choice_of_cell(transformation, perovskite):
    lattice = np.array(transformation) @ perovskite.lattice.matrix
    other = Structure(lattice, perovskite.species, perovskite.cart_coords, coords_are_cartesian=True)
    one, two = canonical(perovskite), canonical(other)
    assert one.lattice.parameters == pytest.approx(two.lattice.parameters, abs=1e-6)
    assert np.linalg.det(one.lattice.matrix) > 0
    assert StructureMatcher(scale=False, primitive_cell=False).fit(two, perovskite)


def test_training_set_gives_the_same_batch_as_the_converter(textbook):
    cells = [canonical(s) for s in textbook]
    data = TrainingSet.build(cells, {"band_gap": range(len(cells))})
    chosen = [5, 0, 7]
    ours, theirs = data.batch(torch.tensor(chosen)), to_batch([cells[i] for i in chosen])
    assert torch.equal(ours.numbers, theirs.numbers)
    assert torch.allclose(ours.frac, theirs.frac.float())
    assert torch.allclose(ours.cell, theirs.cell.float())
    assert torch.equal(ours.batch, theirs.batch)
    assert torch.equal(ours.ptr, theirs.ptr)
    assert ours.band_gap.tolist() == chosen
    assert len(from_batch(theirs)) == 3


def test_space_groups_of_textbook_crystals(small_set):
    assert small_set.system["space_group"].tolist() == [225] * 4 + [221] * 4 + [227] * 3


def test_an_epoch_shows_each_system_once_in_batches_of_limited_size(textbook):
    data = TrainingSet.build(textbook * 5, {})
    batches = list(data.epoch(20, np.random.default_rng(0)))
    assert sorted(torch.cat(batches).tolist()) == list(range(len(data)))
    assert max(int(data.sizes[batch].sum()) for batch in batches) < 30
