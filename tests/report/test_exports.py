from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from ase.db import connect
from ase.io import read
from pymatgen.core import Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import read_structures, write_structures
from matgen.report.exports import csv_text, export


def test_other_programs_open_what_is_exported(ranked, tmp_path):
    paths = export(ranked, tmp_path)
    assert set(paths) == {"candidates.extxyz", "candidates.db", "cifs", "candidates.csv"}
    frames = read(paths["candidates.extxyz"], index=":")
    assert [atoms.info["id"] for atoms in frames] == list(ranked.table["id"])
    assert frames[0].info["e_above_hull"] == pytest.approx(ranked.table["e_above_hull"][0])
    assert connect(paths["candidates.db"]).count() == 8
    for name, structure in zip(ranked.table["id"], ranked.structures, strict=True):
        found = Structure.from_file(paths["cifs"] / f"{name}.cif")
        assert found.composition == structure.composition
    back = pd.read_csv(paths["candidates.csv"])
    assert list(back["id"]) == list(ranked.table["id"])
    assert back["e_form"].tolist() == pytest.approx(ranked.table["e_form"].tolist())


def test_exports_are_repeatable(ranked, tmp_path):
    export(ranked, tmp_path)
    few = Candidates(ranked.table.head(2), ranked.structures[:2])
    paths = export(few, tmp_path)
    assert connect(paths["candidates.db"]).count() == 2
    assert len(read(paths["candidates.extxyz"], index=":")) == 2
    assert sorted(p.stem for p in paths["cifs"].glob("*.cif")) == sorted(few.table["id"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_text_is_a_formula(start):
    text = csv_text(
        pd.DataFrame({"id": [f"{start}cmd|'/C calc'!A0", "b"], f"{start}x": [-1.5, 2.0], "list": [["a"], None]})
    )
    heading, first, _ = csv.reader(io.StringIO(text, newline=""))
    assert heading[1] == f"'{start}x"
    assert first == [f"'{start}cmd|'/C calc'!A0", "-1.5", "['a']"]


def test_ids_and_energies_come_back_as_they_were(rocksalt, tmp_path):
    """Ids that look like numbers, and columns whose names ASE uses itself."""
    ids = ["001234567890", "12e456789012", "1e5", "nan", "True", "T", "1 2", "mp-1", "=1"]
    columns = {"id": ids, "energy": -3.5, "fmax": 0.01, "formula": "NaCl", "valid": True, "n": range(len(ids))}
    table = pd.DataFrame({**columns, "reasons": "on the hull; \"new\" = 'yes'"})
    for name in ("c.extxyz", "c.db"):
        write_structures(tmp_path / name, table, [rocksalt] * len(ids))
        back, structures = read_structures(tmp_path / name)
        pd.testing.assert_frame_equal(back[list(table)], table, check_dtype=False)
        assert structures[0].composition == rocksalt.composition
    assert read(tmp_path / "c.extxyz").calc is None
    assert connect(tmp_path / "c.db").count("candidate_energy<-3") == len(ids)


def test_no_id_leads_out_of_the_folder(rocksalt, tmp_path):
    table = pd.DataFrame({"id": ["../../escaped", "a/b", "..\\c", ".."]})
    write_structures(tmp_path / "deep" / "cifs", table, [rocksalt] * 4)
    assert len(list((tmp_path / "deep" / "cifs").iterdir())) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
