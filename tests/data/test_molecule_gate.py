"""Molecules through the gate: what is kept, repaired and refused, from every kind of file."""

from __future__ import annotations

import pytest
from rdkit import Chem

from matgen.data.dataset import Dataset
from matgen.data.ingest import IngestOptions, ingest
from matgen.data.molecule_gate import MoleculeRules, hill_formula, judge_molecule
from matgen.data.molecules import embed, is_flat, parse_smiles, scaffold
from matgen.data.splits import split
from matgen.data.structures import read_structures, write_structures
from matgen.errors import DataError
from matgen.execution import Serial

PLAIN = MoleculeRules()


def _judged(smiles, **rules):
    return judge_molecule("smiles", smiles, None, MoleculeRules(**rules), 200)


def _ingested(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text)
    return ingest(tmp_path / name, tmp_path / "set", IngestOptions(**options), executor=Serial())


def test_a_molecule_is_named_three_ways():
    row = _judged("C1=CC=CC=C1C(O)=O")
    assert (row["smiles"], row["formula"], row["n_atoms"]) == ("O=C(O)c1ccccc1", "C7H6O2", 15)
    assert row["inchikey"] == "WPYMKLBDIGXBTP-UHFFFAOYSA-N"


def test_rules_for_salts_charges_tautomers_stereo_and_isotopes():
    assert _judged("CC(=O)[O-].[Na+]")["smiles"] == "CC(=O)[O-]"
    assert _judged("CC(=O)[O-].[Na+]", charges="neutralise")["smiles"] == "CC(=O)O"
    assert (
        _judged("Oc1ccccn1", tautomers="canonical")["smiles"]
        == _judged("O=c1cccc[nH]1", tautomers="canonical")["smiles"]
    )
    assert _judged("C[C@H](N)C(=O)O", stereo="drop")["smiles"] == "CC(N)C(=O)O"
    assert _judged("[2H]C", isotopes="drop")["smiles"] == "C"
    assert _judged("C[N+](=O)[O-]", charges="quarantine")["notes"] == []  # inner charges cancel
    for smiles, rules, words in (
        ("CC(=O)[O-].[Na+]", {"salts": "quarantine"}, "salt or mixture: 2 pieces"),
        ("C[N+](C)(C)C", {"charges": "neutralise"}, r"charged: \+1"),
        ("C[CH2]", {}, "radical: 1"),
        ("*CC", {}, "open place"),
    ):
        with pytest.raises(DataError, match=words):
            _judged(smiles, **rules)
    assert _judged("C[CH2]", radicals="keep")["smiles"] == "[CH2]C"


def test_formulas_and_sizes_are_checked():
    assert hill_formula(parse_smiles("ClC(Cl)Cl")) == "CHCl3"
    with pytest.raises(DataError, match="C2H5O is stated but the atoms make C2H6O"):
        judge_molecule("smiles", "CCO", "C2H5O", PLAIN, 200)
    with pytest.raises(DataError, match="too many atoms: 9, allowed 8"):
        judge_molecule("smiles", "CCO", None, PLAIN, 8)


def test_a_table_keeps_what_is_right_and_quarantines_the_rest(tmp_path):
    table = (
        "smiles,split,gap_Ha\nCCO,train,0.3\nOCC,test,0.3\nC(C)(C)(C)(C)C,train,0.1\nhello,train,0.1\nCCN,train,0.25\n"
    )
    data = _ingested(tmp_path, "t.csv", table)
    assert sorted(data.table["smiles"]) == ["CCN", "CCO"]
    assert data.table.set_index("smiles").at["CCN", "homo_lumo_gap"] == pytest.approx(0.25 * 27.2114, abs=1e-3)
    reasons = sorted(data.quarantine["reason"])
    assert [r.split(":")[0] for r in reasons] == ["impossible molecule", "leakage", "no SMILES"]
    again = Dataset.open(tmp_path / "set")
    assert again.card["holds"] == "molecules"
    assert again.packed is None
    assert all(is_flat(s) for s in again.structures)


def test_stereoisomers_are_two_molecules_of_one_group(tmp_path):
    data = _ingested(tmp_path, "t.csv", "smiles\nC[C@H](N)C(=O)O\nC[C@@H](N)C(=O)O\nCCO\n")
    assert len(data) == 3
    assert data.table["group"].nunique() == 2


def test_lines_of_smiles_carry_names(tmp_path):
    data = _ingested(tmp_path, "t.smi", "CCO ethanol\nc1ccccc1\tbenzene\nCC\n")
    assert list(data.table["id"]) == ["ethanol", "benzene", "t-3"]


def test_selfies(tmp_path):
    pytest.importorskip("selfies")
    assert list(_ingested(tmp_path, "t.csv", "selfies\n[C][C][O]\n").table["smiles"]) == ["CCO"]


def test_sdf_in_space_keeps_geometry_and_fields(tmp_path):
    molecule = Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)C(=O)O"))
    structure = embed("C[C@H](N)C(=O)O", 1)
    conformer = Chem.Conformer(len(structure))
    conformer.SetPositions(structure.cart_coords)
    molecule.AddConformer(conformer)
    block = Chem.MolToMolBlock(molecule)
    data = _ingested(tmp_path, "t.sdf", f"{block}> <xtb_gap>\n7.5\n\n$$$$\n")
    assert data.table.at[0, "smiles"] == "C[C@H](N)C(=O)O"
    assert data.table.at[0, "xtb_gap"] == 7.5
    assert data.structures[0].cart_coords == pytest.approx(structure.cart_coords, abs=1e-3)
    assert data.structures[0].properties["smiles"] == "C[C@H](N)C(=O)O"


def test_xyz_without_a_lattice_is_a_molecule(tmp_path):
    rows = [f"{s.specie} {s.x} {s.y} {s.z}" for s in embed("CC(=O)O", 1)]
    broken = ["4", "ammonia, squashed", "N 0 0 0", "H 0 0 0.1", "H 0 1 0", "H 1 0 0"]
    data = _ingested(tmp_path, "t.xyz", "\n".join([f"{len(rows)}", "", *rows, *broken]) + "\n")
    assert list(data.table["smiles"]) == ["CC(=O)O"]
    assert list(data.quarantine["reason"]) == ["atoms too close: 0.10 Å"]


def test_a_dataset_of_geometries_is_ingested_again_unchanged(tmp_path):
    rows = [f"{s.specie} {s.x} {s.y} {s.z}" for s in embed("CCO", 1)]
    first = _ingested(tmp_path, "t.xyz", "\n".join([f"{len(rows)}", "", *rows]) + "\n")
    again = ingest(tmp_path / "set", tmp_path / "again", executor=Serial())
    assert list(again.table["smiles"]) == ["CCO"]
    assert again.structures[0].cart_coords == pytest.approx(first.structures[0].cart_coords)
    write_structures(tmp_path / "x.parquet", first.table, first.structures)


@pytest.mark.shared
def test_published_tables_pass(shared, tmp_path):
    data = ingest(shared / "moleculenet" / "freesolv.csv.gz", tmp_path / "f", executor=Serial())
    assert len(data) == 642
    assert "hydration_free_energy" in data.properties


def test_scaffolds_do_not_lie_in_two_splits(tmp_path):
    rings = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1", "C1CCNC1"]
    rows = [ring + tail for ring in rings for tail in ("C", "CC", "CCO", "F")]
    data = split(_ingested(tmp_path, "t.csv", "smiles\n" + "\n".join(rows) + "\n"), "scaffold", seed=1)
    of = data.table["smiles"].map(scaffold)
    assert data.table.groupby(of)["split"].nunique().max() == 1
    assert of.nunique() == 5


def test_tables_of_smiles_are_read_flat(tmp_path):
    (tmp_path / "a.smi").write_text("CCO ethanol\n\nCC\n")
    table, structures = read_structures(tmp_path / "a.smi")
    assert list(table["id"]) == ["ethanol", "CC"]
    assert [s.properties["smiles"] for s in structures] == ["CCO", "CC"]
    (tmp_path / "b.csv").write_text("smiles\nCCO\nnonsense\n")
    with pytest.raises(DataError, match="row 2"):
        read_structures(tmp_path / "b.csv")
