"""Molecules in words."""

from __future__ import annotations

from matgen.assistant.molecule_words import group_sentences, molecule_sentences
from matgen.assistant.structure_words import structure_sentences
from matgen.data.molecules import sketch


def test_a_molecule_is_described_by_its_bonds():
    first, rings, hydrogens = molecule_sentences({"formula": "C8H9NO2"}, sketch("CC(=O)Nc1ccc(O)cc1"))
    assert "11 heavy atoms and 151.2 g/mol" in first
    assert first.endswith("the SMILES CC(=O)Nc1ccc(O)cc1.")
    assert "has 1 ring and 1 rotatable bond." in rings
    assert "has 2 N-H or O-H bonds and 3 N or O atoms." in hydrogens
    assert structure_sentences({}, sketch("C"))[1] == "The molecule CH4 has no rings and no rotatable bonds."


def test_groups_are_told_for_predictions_of_shipped_models_only():
    row = {"formula": "C6H14O", "homo_lumo_gap": 9.3, "homo_lumo_gap_std": 0.1, "mine": 1.0, "mine_std": 1.0}
    told = group_sentences(row, sketch("CCCCCCO"))
    assert list(told) == ["homo_lumo_gap"]
    assert "*CCCCCC " in told["homo_lumo_gap"]
    assert "*O lowers it by" in told["homo_lumo_gap"]  # its lone pairs are the highest occupied orbital
