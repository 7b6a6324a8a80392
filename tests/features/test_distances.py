from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals import crystals
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.constraints.minimum_distance import MinDistance
from matgen.data.structures import to_batch
from matgen.features.distances import shortest_distances

REACH = 8


def brute_force(structure: Structure) -> np.ndarray:
    span = np.arange(-REACH, REACH + 1)
    shifts = np.stack(np.meshgrid(span, span, span), -1).reshape(-1, 3) @ structure.lattice.matrix
    cart = structure.cart_coords
    squared = ((cart[:, None, None] - cart[None, :, None] + shifts) ** 2).sum(-1)
    squared[squared < 1e-18] = np.inf  # own place
    return np.sqrt(squared.min(-1))


@settings(max_examples=60, deadline=None)
@given(crystals(max_atoms=5))
def test_agrees_with_brute_force(structure):
    found = shortest_distances(structure.frac_coords, structure.lattice.matrix)
    # What is found is a real distance, so nothing nearer lies beyond this many cells (coordinates are within one).
    spacing = np.array(structure.lattice.reciprocal_lattice_crystallographic.abc)
    assume((found.max() * spacing + 1).max() < REACH)
    assert np.allclose(found, brute_force(structure), atol=1e-9)


def test_a_thin_cell_meets_its_own_images():
    lattice = Lattice.from_parameters(4, 4, 4, 90, 90, 5)
    assert shortest_distances(np.zeros((1, 3)), lattice.matrix)[0, 0] == pytest.approx(8 * np.sin(np.radians(2.5)))


@settings(max_examples=40, deadline=None)
@given(crystals(), st.lists(st.integers(-2, 2), min_size=6, max_size=6))
def test_does_not_depend_on_the_choice_of_cell(structure, entries):
    a, b, c, d, e, f = entries
    change = np.array([[1, a, b], [0, 1, c], [0, 0, 1]]) @ np.array([[1, 0, 0], [d, 1, 0], [e, f, 1]])
    cell = change @ structure.lattice.matrix
    frac = structure.frac_coords @ np.linalg.inv(change) + np.array(entries[:3])
    before = shortest_distances(structure.frac_coords, structure.lattice.matrix)
    assert np.allclose(shortest_distances(frac, cell), before, atol=1e-6)


def test_penalty_pushes_atoms_apart():
    structure = Structure(Lattice.cubic(5), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0]])
    batch = to_batch([structure])
    batch.frac.requires_grad_()
    constraint = MinDistance(radius_factor=0.6)
    before = constraint.penalty(batch)
    before.sum().backward()
    with torch.no_grad():
        batch.frac -= 0.05 * batch.frac.grad
    assert constraint.penalty(batch) < before


def test_penalty_is_the_squared_shortfall():
    structure = Structure(Lattice.cubic(5), ["Na", "Cl"], [[0, 0, 0], [0.06, 0, 0]])
    assert MinDistance(absolute=0.5).penalty(to_batch([structure])).item() == pytest.approx(0.2**2)


def test_reasons_name_the_pair_and_the_limit():
    near = Structure(Lattice.cubic(5), ["Na", "Cl"], [[0, 0, 0], [0.06, 0, 0]])
    thin = Structure(Lattice.from_parameters(4, 4, 4, 90, 90, 5), ["O"], [[0, 0, 0]])
    broken = Structure(Lattice.cubic(4), ["O"], [[np.nan, 0, 0]])
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["Na"], [[0, 0, 0]])
    reasons = MinDistance().check([near, thin, broken, flat]).reasons
    assert reasons[0] == "Na and Cl are 0.30 Å apart, closer than the allowed 0.50 Å"
    assert reasons[1] == "O and its own periodic image are 0.35 Å apart, closer than the allowed 0.50 Å"
    assert "not finite" in reasons[2]
    assert "degenerate" in reasons[3]


def test_the_radius_option_is_stricter(rocksalt):
    assert MinDistance(radius_factor=0.6).check([rocksalt]).passed[0]
    squeezed = rocksalt.copy()
    squeezed.scale_lattice(squeezed.volume * 0.15)
    assert MinDistance().check([squeezed]).passed[0]
    assert not MinDistance(radius_factor=0.6).check([squeezed]).passed[0]
