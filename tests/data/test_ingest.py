import json

import numpy as np
import pandas as pd
import pytest
from broken_inputs import CIF, NACL, PEROVSKITE
from pymatgen.core import Lattice, Structure

from matgen.data.dataset import CARD, Dataset
from matgen.data.duplicates import find_duplicates
from matgen.data.ingest import ingest, ingest_options
from matgen.errors import ConfigError, DataError
from matgen.execution import Pool, Serial


def disguised(structure, seed):
    """The same crystal in another cell, order and place."""
    rng = np.random.default_rng(seed)
    other = structure.copy()
    other.make_supercell(rng.permutation([1, 1, 2]))
    other.translate_sites(range(len(other)), rng.random(3))
    return Structure.from_sites([other[i] for i in rng.permutation(len(other))])


def crystals():
    """Distinct structures, two of them with one formula."""
    cscl = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    diamond = Structure(
        Lattice.cubic(3.867).from_parameters(3.867, 3.867, 3.867, 60, 60, 60), ["Si"] * 2, [[0] * 3, [0.25] * 3]
    )
    return [NACL, cscl, PEROVSKITE, diamond]


def table(path, structures, **columns):
    frame = pd.DataFrame({"material_id": [f"m-{i}" for i in range(len(structures))]})
    frame["cif"] = [s.to(fmt="cif") for s in structures]
    frame.assign(**columns).to_csv(path, index=False)
    return path


def made(tmp_path, structures, options=None, **columns):
    source = table(tmp_path / "x.csv", structures, **columns)
    return ingest(source, tmp_path / "out", ingest_options(**(options or {})), executor=Serial())


def test_a_data_set_is_written_whole_and_read_back(tmp_path):
    dataset = made(tmp_path, crystals(), e_form=[-2.0, -1.9, -3.5, 0.0])
    read = Dataset.open(tmp_path / "out")
    pd.testing.assert_frame_equal(
        read.table.drop(columns=["flags", "notes"]), dataset.table.drop(columns=["flags", "notes"])
    )
    assert all(a.matches(b) for a, b in zip(read.structures, crystals(), strict=True))
    assert read.fingerprint == dataset.fingerprint
    assert list(read.properties) == ["e_form", "volume_per_atom", "density"]
    assert read.table["space_group"].tolist() == [225, 221, 221, 227]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "x.csv"]
    with pytest.raises(DataError, match="no rows of the split 'train'"):
        read.part("train")


def test_the_same_source_and_options_are_not_judged_again(tmp_path):
    class Refusing:
        def map(self, *args, **options):
            raise AssertionError("judged again")

    first = made(tmp_path, crystals())
    again = ingest(tmp_path / "x.csv", tmp_path / "out", executor=Refusing())
    assert (first.cached, again.cached) == (False, True)
    assert again.fingerprint == first.fingerprint
    with pytest.raises(AssertionError):
        ingest(tmp_path / "x.csv", tmp_path / "out", ingest_options(seconds=9.0), executor=Refusing())
    (tmp_path / "x.csv").write_text((tmp_path / "x.csv").read_text().replace("m-0", "m-9"))
    with pytest.raises(AssertionError):
        ingest(tmp_path / "x.csv", tmp_path / "out", executor=Refusing())


def test_workers_do_not_change_the_result(tmp_path):
    structures = crystals() + [disguised(s, i) for i, s in enumerate(crystals())]
    source = table(tmp_path / "x.csv", structures)
    with Pool(2) as pool:
        two = ingest(source, tmp_path / "two", executor=pool)
    one = ingest(source, tmp_path / "one", executor=Serial())
    assert one.card == two.card


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="something else"):
        made(tmp_path, crystals())
    assert (tmp_path / "out" / "thesis.tex").exists()


def test_the_same_crystal_in_disguise_is_a_duplicate(tmp_path):
    dataset = made(tmp_path, [*crystals(), *(disguised(s, i) for i, s in enumerate(crystals()))])
    assert dataset.table["id"].tolist() == ["m-0", "m-1", "m-2", "m-3"]
    assert dataset.quarantine["reason"].tolist() == [f"duplicate: same structure as m-{i}" for i in range(4)]
    assert dataset.card["quarantine"] == {"duplicate": 4}


@pytest.mark.parametrize(("size", "found"), [(0.002, 40), (0.02, 40)])
def test_rattled_copies_are_found(size, found):
    rng = np.random.default_rng(3)
    from matgen.data.gate import judge
    from matgen.data.plausibility import Limits

    copies = []
    for _ in range(20):
        for structure in (NACL, PEROVSKITE):
            copy = structure.copy()
            copy.perturb(size * rng.random())
            copies.append(copy)
    items = [{"format": "cif", "content": s.to(fmt="cif"), "formula": None} for s in [NACL, PEROVSKITE, *copies]]
    rows = pd.DataFrame(judge(items, Limits(), 5.0))
    group = find_duplicates(rows, Serial()).group
    assert (group[2:] == np.tile([0, 1], 20)).sum() == found


def test_duplicates_can_be_flagged_or_ignored(tmp_path):
    twice = [NACL, disguised(NACL, 0)]
    flagged = made(tmp_path, twice, {"duplicates": "flag"})
    assert len(flagged) == 2
    assert flagged.table["flags"].map(list).tolist() == [[], ["duplicate: same structure as m-0"]]
    assert flagged.table["group"].tolist() == [0, 0]
    ignored = made(tmp_path, twice, {"duplicates": "ignore"})
    assert ignored.table["group"].tolist() == [0, 1]


def test_a_distorted_phase_is_near_but_not_the_same(tmp_path):
    polar = PEROVSKITE.copy()
    polar.translate_sites([1], [0, 0, 0.03])
    polar = Structure(Lattice.tetragonal(3.905, 4.05), polar.species, polar.frac_coords)
    dataset = made(tmp_path, [PEROVSKITE, polar])
    assert dataset.table["space_group"].tolist() == [221, 99]
    assert dataset.table["group"].tolist() == [0, 0]
    assert list(dataset.table["flags"][1]) == ["near duplicate of m-0"]


def test_labels_that_disagree_keep_the_lower_energy_or_none(tmp_path):
    twice = [NACL, disguised(NACL, 0), PEROVSKITE]
    with_energy = made(tmp_path, twice, e_form=[-1.0, -2.0, -3.0])
    assert with_energy.table["id"].tolist() == ["m-1", "m-2"]
    assert "labels disagree" in with_energy.table["flags"][0][0]
    without = made(tmp_path, twice, band_gap=[0.0, 5.0, 3.0])
    assert without.table["id"].tolist() == ["m-2"]
    assert without.quarantine["stage"].tolist() == ["labels", "labels"]
    agreeing = made(tmp_path, twice, band_gap=[5.0, 5.1, 3.0])
    assert agreeing.table["id"].tolist() == ["m-0", "m-2"]


def test_files_called_train_and_test_are_splits_and_must_not_share_structures(tmp_path):
    table(tmp_path / "train.csv", [NACL, PEROVSKITE], material_id=["a", "b"])
    table(tmp_path / "test.csv", [disguised(NACL, 1), crystals()[3]], material_id=["c", "d"])
    dataset = ingest([tmp_path / "train.csv", tmp_path / "test.csv"], tmp_path / "out", executor=Serial())
    assert dict(zip(dataset.table["id"], dataset.table["split"], strict=True)) == {
        "b": "train",
        "c": "test",
        "d": "test",
    }
    assert dataset.quarantine["stage"].tolist() == ["leakage"]
    assert "same structure as c of the split test" in dataset.quarantine["reason"][0]
    assert len(dataset.part("test")) == len(dataset.part("test").structures) == 2


def test_an_id_in_two_splits_leaks_and_a_repeated_one_is_refused(tmp_path):
    dataset = made(tmp_path, crystals(), material_id=["a", "a", "b", "b"], split=["train", "train", "train", "test"])
    assert dataset.table["id"].tolist() == ["a", "b"]
    assert sorted(dataset.quarantine["stage"]) == ["ids", "leakage"]
    assert dataset.table["split"].tolist() == ["train", "test"]


def test_ids_cannot_name_files_elsewhere(tmp_path):
    dataset = made(tmp_path, crystals(), material_id=["../../etc/x", "<script>", "a/b", "mp-1"])
    assert not dataset.table["id"].str.contains(r"[/<>\\]|^\.").any()
    assert dataset.table["source_id"][0] == "../../etc/x"


def test_formulas_alone_make_a_data_set_without_structures(tmp_path):
    (tmp_path / "x.csv").write_text("formula,target\nNaN,1.5\nFe2O3,2.0\nFe4O6,2.5\n")
    dataset = ingest(
        tmp_path / "x.csv", tmp_path / "out", ingest_options(rename={"target": "band_gap"}), executor=Serial()
    )
    assert dataset.table["formula"].tolist() == ["NaN", "Fe2O3", "Fe2O3"]
    assert list(dataset.properties) == ["band_gap"]
    assert Dataset.open(tmp_path / "out").table["formula"].tolist() == ["NaN", "Fe2O3", "Fe2O3"]
    with pytest.raises(DataError, match="without structures"):
        _ = dataset.structures


def test_a_data_set_can_be_judged_again(tmp_path):
    first = made(tmp_path, crystals(), e_form=[-2.0, -1.9, -3.5, 0.0])
    again = ingest(tmp_path / "out", tmp_path / "again", executor=Serial())
    assert again.table["e_form"].tolist() == first.table["e_form"].tolist()
    assert len(again) == len(first)


def test_the_card_counts(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.cif").write_text(CIF)
    (tmp_path / "in" / "bad.cif").write_text(CIF[:200])
    dataset = ingest(tmp_path / "in", tmp_path / "out", ingest_options(licence="CC0"), executor=Serial())
    card = json.loads((tmp_path / "out" / CARD).read_text())
    assert card["rows"] == {"in": 2, "kept": 1, "quarantined": 1, "repaired": 0, "flagged": 0}
    assert card["elements"] == {"Na": 1, "Cl": 1}
    assert card["space_groups"] == {"225": 1}
    assert card["licence"] == "CC0"
    text = (tmp_path / "out" / "card.md").read_text()
    assert "1 structures kept of 2 rows" in text
    assert dataset.quarantine["raw"][0].startswith("data_NaCl _symmetry_space_group")


def test_options_are_checked():
    with pytest.raises(ConfigError, match="duplicates"):
        ingest_options(duplicate="flag")
    with pytest.raises(ConfigError, match="seconds"):
        ingest_options(seconds=-1)


def test_a_damaged_data_set_is_one_error(tmp_path):
    made(tmp_path, crystals())
    (tmp_path / "out" / "structures.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="unreadable data set"):
        Dataset.open(tmp_path / "out")
    (tmp_path / "out" / CARD).write_text("{")
    with pytest.raises(DataError, match="no card"):
        Dataset.open(tmp_path / "out")


@pytest.mark.shared
def test_rows_of_the_field_pass(shared, tmp_path):
    source = tmp_path / "val.csv"
    pd.read_csv(shared / "mp_20" / "val.csv.gz", keep_default_na=False, na_values=[""]).head(300).to_csv(
        source, index=False
    )
    options = ingest_options(require=("e_form", "band_gap", "e_above_hull"))
    dataset = ingest(source, tmp_path / "out", options, executor=Serial())
    assert dataset.card["rows"]["in"] == 300
    assert set(dataset.card["quarantine"]) <= {"duplicate"}
    assert len(dataset) >= 295
    assert dataset.card["properties"]["e_form"]["count"] == len(dataset)


@pytest.mark.shared
def test_disordered_files_of_the_field_are_quarantined(shared, tmp_path):
    dataset = ingest(
        shared / "obelix" / "obelix_cifs.zip", tmp_path / "out", ingest_options(seconds=2), executor=Serial()
    )
    assert dataset.card["rows"]["in"] == 321
    assert dataset.card["quarantine"]["partial occupancy"] > 100
    assert len(dataset) > 20
