"""Cells as logarithms of their stretch."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from matgen.nn.cell import log_stretch, stretch


@given(st.integers(0, 2**31))
def test_round_trip_keeps_lengths_and_angles(seed):
    cell = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    cell = cell + 5 * torch.eye(3, dtype=torch.float64)
    again = stretch(log_stretch(cell))
    assert torch.allclose(again @ again.mT, cell @ cell.mT, rtol=1e-8, atol=1e-8)


def test_rotation_changes_nothing():
    cell = torch.diag(torch.tensor([3.0, 4.0, 5.0], dtype=torch.float64))[None]
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert torch.allclose(log_stretch(cell), log_stretch(cell @ turn))


def test_cubic_cell_is_the_logarithm_of_its_edge():
    values = log_stretch(4.0 * torch.eye(3, dtype=torch.float64)[None])
    expected = torch.tensor([[4.0, 4.0, 4.0, 1.0, 1.0, 1.0]], dtype=torch.float64).log()
    assert torch.allclose(values, expected)


def test_any_six_numbers_are_a_cell_of_positive_volume():
    numbers = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (torch.linalg.det(stretch(numbers)) > 0).all()
