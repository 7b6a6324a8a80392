"""Novelty: what repeats, what is known, what is new."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import write_structures
from matgen.evaluate.fingerprint import apart, fingerprint
from matgen.evaluate.known import COLUMNS, SHIPPED, TOLERANCE, Known, describe, shipped
from matgen.evaluate.known_building import agreement, compact, distorted, filled
from matgen.evaluate.novelty import describe_all, first_of_kind, novelty
from matgen.execution import Pool, Serial


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
    assert judged.table["nearest_known"].iat[0].startswith("NaCl (Fm-3m) is known in this structure (Materials Project")
    assert judged.table["nearest_known"].iat[1].startswith("SrTiO3 (I4/mcm) is known in nearly this structure")
    rejected = novelty(_candidates(rocksalt, invented), reject_known=True)
    assert rejected.table["id"].tolist() == ["c1"]
    assert rejected.rejected["stage"].tolist() == ["novel"]


def test_shipped_table_holds_no_structures():
    assert list(shipped().table.columns) == list(COLUMNS)
    assert len(shipped().table) == 27740
    assert SHIPPED.stat().st_size < 4e6


def test_own_data_as_reference(tmp_path, rocksalt, perovskite):
    write_structures(tmp_path / "structures.parquet", pd.DataFrame({"id": ["a"]}), [perovskite])
    judged = novelty(_candidates(rocksalt, perovskite), reference=tmp_path)
    assert judged.table["novel"].tolist() == [True, False]
    assert judged.table["nearest_known"].iat[0] == "closest known composition: SrTiO3 (Pm-3m)"


def test_with_structures_the_matcher_decides(perovskite):
    tilted = perovskite.copy()
    tilted.translate_sites([2, 3, 4], [0.0, 0.05, 0.03])
    exact, by_fingerprint = Known.of([perovskite], "own"), Known("own", describe([perovskite]))
    assert not StructureMatcher().fit(perovskite, tilted) or not novelty(_candidates(tilted), exact).table["novel"][0]
    far = perovskite.copy()
    far.translate_sites([1], [0.2, 0.2, 0.2])
    assert novelty(_candidates(far), exact).table["novel"].tolist() == [not StructureMatcher().fit(perovskite, far)]
    assert novelty(_candidates(perovskite), by_fingerprint).table["novel"].tolist() == [False]


def test_repeats_are_found_the_same_way_in_worker_processes(textbook):
    rng = np.random.default_rng(3)
    structures = [distorted(s, rng) for s in textbook for _ in range(3)]
    seen = describe_all(structures, Serial())
    here = first_of_kind(structures, seen, Serial())
    matcher = StructureMatcher()
    assert all(matcher.fit(structures[i], structures[j]) for i, j in enumerate(here))
    kept = [i for i, j in enumerate(here) if i == j]
    by_formula = [(a, b) for k, a in enumerate(kept) for b in kept[:k] if seen[a]["formula"] == seen[b]["formula"]]
    assert not any(matcher.fit(structures[a], structures[b]) for a, b in by_formula)
    with Pool(workers=1) as pool:
        assert first_of_kind(structures, seen, pool) == here


def test_agreement_on_textbook_structures(textbook):
    found = agreement([s for s in textbook for _ in range(2)], Serial())
    assert found["polymorphs"]["called_same_where_matcher_says_same"] == 1.0
    assert found["substituted"]["pairs"] > 0
    assert found["distorted"]["called_same_where_matcher_says_same"] > 0.9


def test_a_template_filled_with_other_elements(perovskite, textbook):
    barium = textbook[5]
    copy = filled(perovskite, barium)
    assert copy.composition == barium.composition
    assert StructureMatcher().fit(copy, barium)
    assert copy.volume == pytest.approx(barium.volume)


def test_the_table_survives_compaction(textbook, tmp_path):
    table = describe(textbook)
    compact(table).to_parquet(tmp_path / "known.parquet")
    again = Known("again", pd.read_parquet(tmp_path / "known.parquet"))
    assert not novelty(_candidates(*textbook), again).table["novel"].any()


def test_the_nearest_known_is_told_in_words(textbook, perovskite, rocksalt):
    known = Known.of(textbook[1:], "textbook")
    magnesia, hafnate = textbook[0], perovskite.copy()
    hafnate.replace_species({"Sr": "Eu", "Ti": "Hf"})
    other = Structure(rocksalt.lattice, rocksalt.species, [[0, 0, 0], [0.25] * 3])
    invented = Structure(rocksalt.lattice, ["Sc", "P"], [[0, 0, 0], [0.25, 0.25, 0.35]])
    judged = novelty(_candidates(magnesia, hafnate, other, invented), known)
    assert judged.table["nearest_known"].tolist()[:3] == [
        "isostructural with LiF (Fm-3m)",
        "isostructural with CaZrO3 (Pm-3m)",
        "NaCl is known in other structures (Fm-3m)",
    ]
    assert judged.table["nearest_known"].iat[3].startswith("closest known composition: ")


def test_what_cannot_be_compared_is_rejected_with_the_reason(rocksalt):
    class Failing(Serial):
        def map(self, function, items, *, name, shard, seconds=None):
            rows = super().map(function, items, name=name, shard=shard, seconds=seconds)
            return [{"error": "out of time"}, *rows[1:]] if name == "describe structures" else rows

    judged = novelty(_candidates(rocksalt, rocksalt), executor=Failing())
    assert judged.table["id"].tolist() == ["c1"]
    assert judged.rejected["reason"].tolist() == ["could not be compared: out of time"]
