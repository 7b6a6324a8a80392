"""Novelty: what repeats, what is known, what is new."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import write_structures
from matgen.evaluate.fingerprint import apart, fingerprint
from matgen.evaluate.known import TOLERANCE, Known, shipped
from matgen.evaluate.known_building import agreement, distorted
from matgen.evaluate.novelty import novelty


def _candidates(*structures):
    return Candidates(pd.DataFrame({"id": [f"c{i}" for i in range(len(structures))]}), list(structures))


def _turned(structure, rng):
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords + rng.random(3))
    return moved.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]], in_place=False)


def test_fingerprint_ignores_cell_rotation_shift_and_strain(textbook):
    rng = np.random.default_rng(0)
    for structure in textbook:
        other = _turned(structure, rng)
        other.scale_lattice(1.2 * other.volume)
        assert apart(fingerprint(structure), fingerprint(other)) < 1e-6


def test_fingerprint_tells_structures_and_exchanged_elements_apart(perovskite, textbook):
    exchanged = Structure(perovskite.lattice, ["Ti", "Sr", "O", "O", "O"], perovskite.frac_coords)
    assert apart(fingerprint(perovskite), fingerprint(exchanged)) > TOLERANCE
    rocksalt = textbook[0]
    caesium = Structure(rocksalt.lattice, rocksalt.species, [[0, 0, 0], [0.25] * 3])
    assert apart(fingerprint(rocksalt), fingerprint(caesium)) > TOLERANCE


def test_distorted_copies_are_the_same(textbook):
    rng = np.random.default_rng(1)
    assert np.mean([apart(fingerprint(s), fingerprint(distorted(s, rng))) < TOLERANCE for s in textbook * 5]) > 0.9


def test_repeats_are_rejected_and_name_the_one_that_stays(perovskite, rocksalt):
    again = _turned(perovskite, np.random.default_rng(2))
    judged = novelty(_candidates(perovskite, rocksalt, again))
    assert judged.table["id"].tolist() == ["c0", "c1"]
    assert judged.rejected[["id", "stage", "reason"]].values.tolist() == [["c2", "unique", "the same structure as c0"]]
    assert judged.table["unique"].all()


def test_shipped_table_knows_textbook_compounds_and_not_an_invented_one(perovskite, rocksalt):
    invented = Structure(rocksalt.lattice, ["Sc", "P"], [[0, 0, 0], [0.25, 0.25, 0.35]])
    judged = novelty(_candidates(rocksalt, perovskite, invented))
    assert judged.table["novel"].tolist() == [False, False, True]
    assert judged.table["nearest_known"].iat[0].startswith("NaCl is known in this structure (space group 225")
    rejected = novelty(_candidates(rocksalt, invented), reject_known=True)
    assert rejected.table["id"].tolist() == ["c1"]
    assert rejected.rejected["stage"].tolist() == ["novel"]


def test_shipped_table_holds_no_structures():
    assert list(shipped().table.columns) == ["formula", "space_group", "fingerprint"]
    assert len(shipped().table) == 27740


def test_own_data_as_reference(tmp_path, rocksalt, perovskite):
    write_structures(tmp_path / "structures.parquet", pd.DataFrame({"id": ["a"]}), [perovskite])
    judged = novelty(_candidates(rocksalt, perovskite), reference=tmp_path)
    assert judged.table["novel"].tolist() == [True, False]
    assert "closest known composition: SrTiO3" in judged.table["nearest_known"].iat[0]


def test_agreement_is_complete_on_identical_structures(textbook):
    found = agreement([s for s in textbook for _ in range(2)])
    assert found["known_where_matcher_says_same"] == 1.0


@pytest.mark.parametrize("formula", ["NaCl", "ScP3Cl"])
def test_nearest_is_said_in_words(formula, textbook):
    text = Known.of(textbook, "textbook").nearest(formula)
    assert ("in other structures" in text) == (formula == "NaCl")
