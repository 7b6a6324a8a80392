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
from matgen.report.page import render
from matgen.report.records import Records
from matgen.report.summary import headline, lead


def render_of(records):
    records.candidates.write(records.folder)
    return render(records, 1)


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


def test_groups_that_drive_a_prediction_are_drawn_on_the_molecule(tmp_path):
    row = {"id": ["a"], "smiles": ["CCCCCCO"], "formula": ["C6H14O"], "log10_solubility": [-1.2], "rank": [1]}
    table = pd.DataFrame({**row, "log10_solubility_std": [0.4]})
    records = Records(tmp_path, Candidates(table, [embed("CCCCCCO", 1)]))
    (card,) = cards(records, 1)
    (drawn,) = card.maps
    assert drawn.drawing.count("<ellipse") == 7
    assert any(text.startswith("*CCCCCC −") for text in drawn.words)
    assert any(text.startswith("*O ") and "−" not in text for text in drawn.words)
    assert str(drawn.drawing) in render_of(records)


def test_a_report_of_molecules_speaks_of_molecules(tmp_path):
    table = pd.DataFrame({"id": ["a"], "smiles": ["CCO"], "formula": ["C2H6O"], "novel": [True]})
    records = Records(tmp_path, Candidates(table, [embed("CCO", 1)]))
    words = " ".join([headline(records), lead(records), render_of(records)])
    assert "1 molecule was proposed" in words
    assert "no known molecule matches" in words
    assert "structures entered" not in words
