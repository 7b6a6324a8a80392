"""The margin of an arrangement against densities whose answer is known."""

from __future__ import annotations

import pytest
import torch

from matgen.generators.arrangement import arrangement_margin, numbers_of, rearranged


@pytest.fixture
def batch(small_set):
    return small_set.batch(torch.arange(min(len(small_set), 6)))


def first_atoms(batch):
    """A density that likes large atomic numbers first: a linear weight of the place, so the mean is known."""
    return torch.stack([(n * torch.arange(len(n), 0, -1)).sum().double() for n in numbers_of(batch)])


def test_rearranging_keeps_the_composition_and_changes_the_sites(batch):
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        other = rearranged(batch, rng)
        assert torch.equal(other.frac, batch.frac)
        for before, after in zip(numbers_of(batch), numbers_of(other), strict=True):
            assert torch.equal(before.sort().values, after.sort().values)
            assert torch.equal(before, after) == (len(before.unique()) == 1)


def test_level_of_a_composition_cancels(batch):
    def shifted(other):
        levels = torch.stack([1e3 * n.double().square().sum() for n in numbers_of(other)])
        return first_atoms(other) + levels

    plain = arrangement_margin(first_atoms, batch, torch.Generator().manual_seed(1))
    moved = arrangement_margin(shifted, batch, torch.Generator().manual_seed(1))
    assert torch.allclose(plain, moved, equal_nan=True)
    assert not plain.isnan().all()


def test_best_arrangement_has_a_positive_margin_and_the_worst_a_negative_one(batch):
    signs = {}
    for down in (True, False):
        ordered = batch.clone()
        ordered.numbers = torch.cat([n.sort(descending=down).values for n in numbers_of(batch)])
        margin = arrangement_margin(first_atoms, ordered, torch.Generator().manual_seed(0))
        signs[down] = margin[~margin.isnan()].sign().unique().tolist()
    assert signs == {True: [1.0], False: [-1.0]}


def test_one_element_has_no_arrangement(batch):
    alone = batch.clone()
    alone.numbers = torch.full_like(batch.numbers, 14)
    assert arrangement_margin(first_atoms, alone, torch.Generator().manual_seed(0)).isnan().all()
