import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matgen.errors import ConfigError, DataError
from matgen.stability.energy import Energies, EnergyScale
from matgen.stability.references import COLUMNS, ReferenceTable, load_reference, lowest, shipped_references


@pytest.fixture
def table():
    rows = pd.DataFrame(
        {"formula": ["Na", "Cl2", "NaCl", "O2"], "energy": [-1.3, -1.8, -3.5, -4.9], "n_atoms": 1, "relaxed": True}
    ).assign(origin="known")
    return ReferenceTable(rows, EnergyScale("toy", "MP2020"), "toy")


def test_what_is_saved_is_loaded(table, tmp_path):
    table.save(tmp_path / "toy")
    again = load_reference(tmp_path / "toy")
    pd.testing.assert_frame_equal(again.entries, table.entries)
    assert (again.scale, again.name) == (table.scale, table.name)


def test_entries_and_card_must_belong_together(table, tmp_path):
    table.save(tmp_path / "toy")
    card = tmp_path / "toy" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "fingerprint": "0"}))
    with pytest.raises(DataError, match="belong together"):
        load_reference(tmp_path / "toy")


def test_entries_within_a_system(table):
    assert {e.name for e in table.within(["Na", "Cl"])} == {"Na", "Cl2", "NaCl"}


def test_formation_energy(table):
    energies = Energies(np.array([-3.5, 0.0]), table.scale)
    found = table.formation_energies([Composition("NaCl"), Composition("KCl")], energies)
    assert found[0] == pytest.approx(-3.5 + (1.3 + 1.8) / 2)
    assert np.isnan(found[1])


def test_a_users_own_table(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("formula,energy,potential,correction\nNa,-1.3,toy,MP2020\nNa2,-1.2,toy,MP2020\nNaN,-3,toy,MP2020\n")
    table = load_reference(path)
    assert table.scale == EnergyScale("toy", "MP2020")
    assert table.element_energies == {"Na": -1.3}
    assert set(table.entries["formula"]) == {"Na", "NaN"}  # sodium nitride is a formula, not a gap


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("formula,energy\nNa,-1\n", DataError, "potential"),
        ("formula,energy,potential\nNa,-1,a\nCl,-1,b\n", ConfigError, "2 scales"),
        ("formula,energy,potential\nXx9,-1,a\n", DataError, "no formula"),
        ("formula,energy,potential\nNa,low,a\n", DataError, "numbers"),
        ("formula,energy,potential\nNa,,a\n", DataError, "no finite energy"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, error, words):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(error, match=words):
        load_reference(path)


def test_an_unknown_table_is_refused():
    with pytest.raises(ConfigError, match=r"chgnet-0\.3\.0"):
        load_reference("chgnet-0.3")


def test_lowest_keeps_the_best_of_each_formula():
    rows = pd.DataFrame({"formula": ["A", "B", "A"], "energy": [1.0, 2.0, -1.0]})
    assert lowest(rows)["energy"].tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("name", shipped_references())
def test_shipped_tables_are_whole(name):
    table = load_reference(name)
    assert table.name == name
    assert len(table.entries) == table.card["n_entries"] == table.entries["formula"].nunique()
    assert table.entries["relaxed"].sum() == table.card["n_relaxed"]
    assert len(table.element_energies) == table.card["n_elements"] >= 85
    assert table.entries["energy"].between(-20, 3).all()
    assert list(table.entries.columns) == list(COLUMNS)


def test_common_salts_lie_deep_below_their_elements():
    table = load_reference("chgnet-0.3.0")
    energies = dict(zip(table.entries["formula"], table.entries["energy"], strict=True))
    salts = ["NaCl", "MgO", "LiF", "Al2O3"]
    known = [s for s in salts if s in energies]
    values = Energies(np.array([energies[s] for s in known]), table.scale)
    found = dict(zip(known, table.formation_energies(map(Composition, known), values), strict=True))
    # Measured at 298 K, eV/atom (NIST-JANAF): NaCl -2.13, MgO -3.12, LiF -3.20, Al2O3 -3.47.
    measured = {"NaCl": -2.13, "MgO": -3.12, "LiF": -3.20, "Al2O3": -3.47}
    assert found, "the table knows none of these salts"
    for salt, value in found.items():
        assert value == pytest.approx(measured[salt], abs=0.25)
