from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.report.crystal import conventional, draw_cell, element_style, view_rotation
from matgen.report.poster import gradients, mix, poster


def test_rock_salt_is_drawn_with_its_faces(rocksalt):
    """8 atoms in the conventional cell; on corners, faces and edges they become 27, joined by 54 of its bonds."""
    cell = draw_cell(conventional(rocksalt))
    assert len(cell.symbols) == 8
    assert len(cell.atoms()) == 27
    assert len(cell.bonds) == 8 * 6 / 2
    assert len(cell.sticks()) == 54
    lengths = [np.linalg.norm(end - start) for _, start, _, end in cell.sticks()]
    np.testing.assert_allclose(lengths, rocksalt.get_distance(0, 1), rtol=1e-6)


def test_the_cell_has_twelve_edges_of_its_lengths(perovskite):
    lengths = [np.linalg.norm(q - p) for p, q in draw_cell(perovskite).edges()]
    np.testing.assert_allclose(lengths, [3.905] * 12)


def test_drawing_keeps_all_distances():
    structure = Structure(
        Lattice.from_parameters(4, 5, 7, 80, 95, 110), ["Ti", "O"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.9]]
    )
    cell = draw_cell(structure)
    first, second = (position for _, position in cell.atoms())
    assert np.linalg.norm(second - first) == pytest.approx(
        np.linalg.norm(structure.cart_coords[1] - structure.cart_coords[0])
    )


@given(
    st.tuples(*[st.floats(2, 20)] * 3),
    st.tuples(*[st.floats(60, 110)] * 3),
)
def test_the_view_is_a_rotation_with_c_upright(lengths, angles):
    cell = Lattice.from_parameters(*lengths, *angles).matrix
    turn = view_rotation(cell)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1)
    _, b, c = cell @ turn
    assert c[0] == pytest.approx(0, abs=1e-9)
    assert c[1] > 0.9 * np.linalg.norm(c)
    assert b[0] > 0


def test_a_lone_atom_is_drawn_without_bonds():
    cell = draw_cell(Structure(Lattice.cubic(30), ["Xe"], [[0.5] * 3]))
    assert cell.sticks() == []
    assert len(cell.atoms()) == 1


def test_symmetry_that_cannot_be_found_leaves_the_recorded_cell():
    overlapping = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 0.001]])
    assert conventional(overlapping) is None


def test_elements_have_colours_and_radii():
    assert element_style("O")["color"] == "#ff0d0d"
    assert element_style("Cs")["radius"] > element_style("O")["radius"] > element_style("H")["radius"]
    assert mix("#000000", "#ffffff", 0.5) == "#808080"


def test_the_poster_shows_every_atom_once_and_far_ones_first(perovskite):
    cell = draw_cell(perovskite)
    svg = str(poster(cell, "<Sr>"))
    assert svg.count("<circle") == len(cell.atoms())
    assert svg.count('class="edge"') == 12
    assert svg.count("<line") == 12 + 2 * len(cell.sticks())
    assert "&lt;Sr&gt;" in svg
    nearest = max(cell.atoms(), key=lambda atom: atom[1][2])[1]
    assert f'cx="{nearest[0]:.2f}" cy="{-nearest[1]:.2f}"' in svg[svg.rindex("<circle") :]
    assert str(gradients(cell.symbols)).count("<radialGradient") == 3
