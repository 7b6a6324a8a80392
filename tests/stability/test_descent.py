import numpy as np
import pytest

from matgen.stability.descent import Descent, DescentSettings, largest_force


def _run(descent, forces, stress, steps):
    for _ in range(steps):
        descent.advance(forces(descent), stress(descent))
    return descent


def test_atoms_in_a_harmonic_well_reach_its_bottom():
    rest = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]])
    stiffness = np.array([[2.0, 20.0, 5.0], [1.0, 9.0, 30.0]])
    descent = Descent(rest / 5 + 0.05, np.eye(3) * 5, DescentSettings(cell=False))
    _run(descent, lambda d: -stiffness * (d.frac @ d.cell - rest), lambda _: np.zeros((3, 3)), 40)
    assert np.allclose(descent.frac * 5, rest, atol=1e-4)
    assert np.array_equal(descent.cell, np.eye(3) * 5)


def test_a_cell_under_constant_bulk_modulus_reaches_its_volume():
    # E = B/2 (V - V0)² / V0 has the stress dE/dV = B (V - V0) / V0 on the diagonal.
    target, modulus = 60.0, 0.8
    descent = Descent(np.zeros((1, 3)), np.eye(3) * 4.4)
    pressure = lambda d: modulus * (abs(np.linalg.det(d.cell)) - target) / target  # noqa: E731
    _run(descent, lambda _: np.zeros((1, 3)), lambda d: pressure(d) * np.eye(3), 30)
    assert abs(np.linalg.det(descent.cell)) == pytest.approx(target, rel=1e-4)


def test_a_step_is_never_longer_than_allowed():
    settings = DescentSettings(max_move=0.1, max_strain=0.02)
    descent = Descent(np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), np.eye(3) * 4, settings)
    before = descent.frac @ descent.first_cell
    descent.advance(np.full((2, 3), 1e4), np.full((3, 3), -1e3))
    assert np.linalg.norm(descent.frac @ descent.first_cell - before, axis=1).max() <= 0.1 + 1e-9
    assert np.abs(descent.deformation - np.eye(3)).max() <= 0.02 + 1e-9


def test_the_force_of_a_cell_counts_like_that_of_an_atom():
    forces, stress = np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0]]), np.eye(3) * 0.01
    assert largest_force(forces, stress, volume=100.0) == pytest.approx(0.5)
    assert largest_force(forces, stress, volume=100.0, cell=False) == pytest.approx(0.3)
