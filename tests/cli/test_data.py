import json

from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from matgen.cli import app

runner = CliRunner()

CSV = "formula,e_form,year\nNaCl,-2.1,1913\nKCl,-2.2,1913\nMgO,-3.0,1950\nFe2O3,-1.6,1990\nSi,0.0,2000\nQq,1.0,2001\n"


def call(*words):
    return runner.invoke(app, ["data", *map(str, words)], catch_exceptions=False)


def test_ingest_show_and_split(tmp_path):
    (tmp_path / "x.csv").write_text(CSV)
    result = json.loads(call("ingest", tmp_path / "x.csv", "--out", tmp_path / "d", "--json").stdout)
    assert (result["rows_in"], result["kept"], result["quarantined"], result["cached"]) == (6, 5, 1, False)
    assert result["reasons"] == {"no formula": 1}
    again = call("ingest", tmp_path / "x.csv", "--out", tmp_path / "d")
    assert "5 of 6 rows kept, 1 quarantined (cached)" in again.stdout
    card = json.loads(call("show", tmp_path / "d", "--json").stdout)
    assert card["rows"]["kept"] == 5
    assert "Properties" in call("show", tmp_path / "d").stdout
    words = ("split", tmp_path / "d", "--by", "time", "--fractions", "0.6,0.2,0.2", "--out", tmp_path / "t", "--json")
    assert json.loads(call(*words).stdout)["splits"] == {"train": 3, "val": 1, "test": 1}


def test_units_and_names_are_given_as_pairs(tmp_path):
    (tmp_path / "x.csv").write_text("formula,target\nNaCl,-2100\nKCl,-2200\nMgO,-3000\n")
    words = ("--rename", "target=e_form", "--unit", "e_form=meV/atom", "--require", "e_form", "--json")
    result = json.loads(call("ingest", tmp_path / "x.csv", "--out", tmp_path / "d", *words).stdout)
    assert result["kept"] == 3
    assert json.loads(call("show", tmp_path / "d", "--json").stdout)["properties"]["e_form"]["min"] == -3.0


def test_a_crystal_of_much_empty_space_is_kept_on_request(tmp_path):
    Structure(Lattice.cubic(9), ["Cs", "I"], [[0, 0, 0], [0.5] * 3]).to(filename=str(tmp_path / "porous.cif"))
    words = ("ingest", tmp_path / "porous.cif", "--json", "--out")
    assert json.loads(call(*words, tmp_path / "d").stdout)["reasons"] == {"absurd volume": 1}
    assert json.loads(call(*words, tmp_path / "e", "--max-volume", 400).stdout)["kept"] == 1
