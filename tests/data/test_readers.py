import gzip
import json
import zipfile

import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from broken_inputs import CIF, NACL, PEROVSKITE, POSCAR
from pymatgen.entries.computed_entries import ComputedStructureEntry

from matgen.data.cif import split_blocks
from matgen.data.readers.base import find_reader
from matgen.data.reading import read_content
from matgen.errors import DataError


def records(path, reader="auto"):
    return list(find_reader(str(path), reader).read(str(path)))


def structures(found):
    return [read_content(record.format, record.content).structure for record in found]


def test_blocks_of_a_cif_keep_their_names_and_remarks_are_left_out(tmp_path):
    text = "data_global\n_publ_author 'A. Author'\n" + CIF + PEROVSKITE.to(fmt="cif") + CIF
    (tmp_path / "many.cif").write_text(text)
    found = records(tmp_path / "many.cif")
    assert [r.id for r in found] == ["many/NaCl", "many/SrTiO3", "many/NaCl#3"]
    assert [s.composition.reduced_formula for s in structures(found)] == ["NaCl", "SrTiO3", "NaCl"]


def test_data_inside_a_text_block_begins_no_block():
    assert len(split_blocks(CIF.replace("loop_", "_remark\n;\ndata_not_a_block\n;\nloop_", 1))) == 1


def test_files_below_a_folder_keep_their_paths(tmp_path):
    (tmp_path / "train" / "deep").mkdir(parents=True)
    (tmp_path / "mp-1").mkdir()
    (tmp_path / "train" / "deep" / "a.cif").write_text(CIF)
    (tmp_path / "mp-1" / "POSCAR").write_text(POSCAR)
    with gzip.open(tmp_path / "b.cif.gz", "wt") as file:
        file.write(PEROVSKITE.to(fmt="cif"))
    write(tmp_path / "c.extxyz", [bulk("Si"), bulk("Cu")])
    (tmp_path / "id_prop.csv").write_text("train/deep/a,-2.1\nb.cif,-3.5\n")
    found = {r.id: r for r in records(tmp_path)}
    assert list(found) == ["b", "c/1", "c/2", "mp-1", "train/deep/a"]
    assert found["train/deep/a"].split == "train"
    assert found["train/deep/a"].source == "train/deep/a.cif"
    assert found["train/deep/a"].values == {"target": "-2.1"}
    assert found["b"].values == {"target": "-3.5"}


def test_frames_carry_their_comments_and_energies(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.calc = SinglePointCalculator(atoms, energy=-7.0)
    atoms.info["band_gap"] = 5.0
    write(tmp_path / "x.extxyz", [atoms, bulk("Si")])
    found = records(tmp_path / "x.extxyz")
    values = read_content(found[0].format, found[0].content).values
    assert values == {"band_gap": 5.0, "energy_per_atom": -3.5}
    assert [len(s) for s in structures(found)] == [2, 2]


def test_a_frame_without_atoms_costs_no_other_frame(tmp_path):
    empty, silicon = Atoms(cell=[4, 4, 4], pbc=True), bulk("Si")
    write(tmp_path / "x.extxyz", [silicon, empty, silicon])
    found = records(tmp_path / "x.extxyz")
    assert [r.problem for r in found] == [None, "the frame at line 5 has no atoms", None]


@pytest.mark.parametrize("kind", ["x.db", "x.json"])
def test_an_ase_database_keeps_its_columns(tmp_path, kind):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.calc = SinglePointCalculator(atoms, energy=-7.0)
    database = connect(tmp_path / kind)
    database.write(atoms, key_value_pairs={"material_id": "salt", "gap": 5.0})
    database.write(bulk("Si"))
    found = records(tmp_path / kind)
    assert [r.id for r in found] == ["salt", None]
    assert found[0].values == {"gap": 5.0, "energy_per_atom": -3.5}
    assert [s.composition.reduced_formula for s in structures(found)] == ["NaCl", "Si"]


def test_entries_and_structures_of_pymatgen(tmp_path):
    entry = ComputedStructureEntry(NACL, -28.0, entry_id="e-1", data={"e_above_hull": 0.01})
    for content in ([entry.as_dict(), PEROVSKITE.as_dict()], {"a": entry.as_dict(), "b": PEROVSKITE.as_dict()}):
        (tmp_path / "x.json").write_text(json.dumps(content))
        found = records(tmp_path / "x.json")
        assert found[0].id == "e-1"
        assert found[0].values["energy_per_atom"] == -3.5
        assert found[0].values["e_above_hull"] == 0.01
        assert [s.composition.reduced_formula for s in structures(found)] == ["NaCl", "SrTiO3"]
    (tmp_path / "one.json").write_text(NACL.to_json())
    assert [r.id for r in records(tmp_path / "one.json")] == ["one"]


def test_atoms_of_jarvis():
    content = {"lattice_mat": NACL.lattice.matrix.tolist(), "coords": NACL.frac_coords.tolist(), "cartesian": False}
    content["elements"] = [site.specie.symbol for site in NACL]
    assert read_content("document", content).structure.matches(NACL)


def test_tables_of_text_and_parquet_say_the_same(tmp_path):
    frame = pd.DataFrame({"material_id": ["a", "b"], "cif": [CIF, PEROVSKITE.to(fmt="cif")], "gap": [5.0, None]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "x.tsv.bz2", index=False, sep="\t")
    frame.to_parquet(tmp_path / "x.parquet")
    read = [records(tmp_path / name) for name in ("x.csv", "x.tsv.bz2", "x.parquet")]
    for found in read:
        assert [(r.id, r.content.strip(), float(r.values.get("gap", -1))) for r in found] == [
            ("a", CIF.strip(), 5.0),
            ("b", PEROVSKITE.to(fmt="cif").strip(), -1),
        ]


def test_files_without_an_ending_are_known_by_their_beginning(tmp_path):
    (tmp_path / "one").write_text(CIF)
    (tmp_path / "two").write_text(pd.DataFrame({"cif": [CIF]}).to_csv())
    (tmp_path / "three").write_text(NACL.to_json())
    assert [type(find_reader(str(tmp_path / n))).__name__ for n in ("one", "two", "three")] == [
        "CifFile",
        "CsvTable",
        "JsonFile",
    ]


def test_a_zip_is_read_in_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("train/a.cif", CIF)
        archive.writestr("__MACOSX/._a.cif", "x")
        archive.writestr("POSCAR", POSCAR)
    found = records(tmp_path / "x.zip")
    assert [(r.id, r.split) for r in found] == [("POSCAR", None), ("train/a", "train")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]


def test_another_sqlite_file_is_left_as_it_is(tmp_path):
    import sqlite3

    path = tmp_path / "x.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="no database of ASE"):
        records(path)
    assert path.read_bytes() == before


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("perov_5/test.csv.gz", 1893),
        ("jarvis_supercon/jarvis_supercon.csv.gz", 1056),
        ("aflow_elastic/aflow_elastic.csv.gz", 4905),
        ("mpts_52/val.csv.gz", 4812),
        ("matbench_composition/expt_gap.csv.gz", 4604),
        ("experimental/supercon_tc.csv.gz", 16414),
        ("obelix/obelix_cifs.zip", 321),
    ],
)
def test_every_row_of_the_fields_sets_becomes_a_record(shared, file, rows):
    found = records(shared / file)
    assert len(found) == rows
    assert not any(record.problem for record in found)
