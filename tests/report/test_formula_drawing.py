"""Structural formulas and conformers on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from matgen.data.candidates import Candidates
from matgen.data.molecules import embed
from matgen.report.cards import cards
from matgen.report.crystal import draw_molecule
from matgen.report.formula_drawing import drawn_formula
from matgen.report.records import Records


def test_a_formula_is_drawn_with_marks_where_weights_are():
    plain = drawn_formula("CC(=O)Nc1ccccc1", "Acetanilide <b>")
    marked = drawn_formula("CC(=O)Nc1ccccc1", "x", [1.0, 0, -0.5, *[0] * 7])
    assert plain.startswith('<svg role="img" aria-label="Acetanilide &lt;b&gt;"')
    assert "style=" not in plain
    assert plain.count("<ellipse") == 0
    assert marked.count("<ellipse") == 2


def test_a_molecule_is_drawn_without_a_cell_at_its_true_size():
    structure = embed("CCO", 1)
    drawn = draw_molecule(structure)
    assert drawn.edges() == []
    assert len(drawn.bonds) == 8
    assert len(drawn.atoms()) == len(structure)
    places = np.array([position for _, position in drawn.atoms()])
    assert np.linalg.norm(places[0] - places[1]) == pytest.approx(structure.get_distance(0, 1))
    assert np.ptp(places, axis=0).argmax() == 0


def test_the_card_of_a_molecule_shows_formula_conformer_and_download(tmp_path):
    table = pd.DataFrame({"id": ["a"], "smiles": ["CCO"], "formula": ["C2H6O"], "xtb_gap": [9.1], "rank": [1]})
    (card,) = cards(Records(tmp_path, Candidates(table, [embed("CCO", 1)])), 1)
    assert 'class="structural-formula"' in card.formula_drawing
    assert card.cif.startswith("data:chemical/x-mdl-molfile")
    assert card.cif_name == "C2H6O-a.mol"
    assert card.lattice == "CCO"
    assert list(card.cells) == ["Conformer"]
