"""Metrics against answers known by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

import matgen
from matgen.data.candidates import Candidates
from matgen.data.structures import write_structures
from matgen.errors import ConfigError, DataError
from matgen.evaluate.interval import bootstrap, estimate, wilson
from matgen.evaluate.reference import read_reference
from matgen.evaluate.validity import PUBLISHED, SCREENED, compositional
from matgen.execution import Serial


def _candidates(structures, **columns):
    ids = [f"c{i}" for i in range(len(structures))]
    return Candidates(pd.DataFrame({"id": ids, **columns}), list(structures))


def test_wilson_interval_of_a_textbook_case():
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 0) == (0.0, 1.0)


def test_perfect_prediction_matches_with_no_error(tmp_path, textbook):
    names = [f"m{i}" for i in range(len(textbook))]
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": names}), textbook)
    made = _candidates(textbook, material_id=names)
    metrics, table = matgen.evaluate(made, tmp_path / "true.parquet", "csp", executor=Serial())
    assert metrics["match_rate"]["share"] == 1.0
    assert metrics["rmse"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["metre"]["share"] == 1.0
    assert table["rms"].notna().all()


def test_missing_and_wrong_answers_lower_the_match_rate(tmp_path, textbook):
    cifs = [s.to(fmt="cif") for s in textbook[:4]]
    path = tmp_path / "true.csv"
    pd.DataFrame({"material_id": list("abcd"), "cif": cifs}).to_csv(path, index=False)
    wrong = Structure(Lattice.cubic(9), ["Na", "Cl"], [[0, 0, 0], [0.1, 0.2, 0.3]])
    made = _candidates([textbook[0], wrong, textbook[2]], material_id=list("abc"))
    metrics, _ = matgen.evaluate(made, path, "csp", executor=Serial())
    assert metrics["match_rate"]["share"] == 0.5
    assert metrics["match_rate"]["n"] == 4
    assert metrics["without_answer"] == 1
    assert metrics["match_rate_answered"]["share"] == pytest.approx(2 / 3, abs=1e-4)
    assert metrics["rmse_penalised"]["value"] == pytest.approx(0.25, abs=1e-4)
    assert metrics["match_rate_by_atoms"]["1-4"]["n"] == 4


def test_de_novo_metrics_and_what_is_skipped(textbook):
    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    unbalanced = Structure(Lattice.cubic(4), ["Na", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    metrics, table = matgen.evaluate(_candidates([*textbook, textbook[0], overlapping, unbalanced]), executor=Serial())
    assert metrics["structural_validity"]["share"] == pytest.approx(13 / 14, abs=1e-3)
    assert table["structure_valid"].tolist().index(False) == 12
    assert not table["composition_valid"].iat[13]
    assert metrics["uniqueness"]["share"] == pytest.approx(12 / 13, abs=1e-3)
    assert "SUN, MSUN" in metrics["skipped"]
    assert any("coverage" in name and "wasserstein" in name for name in metrics["skipped"])
    assert table["unique"].tolist().index(False) == 11
    assert not table["novel"].iat[12]


def test_stable_unique_novel_counts_against_all_structures(rocksalt):
    invented = Structure(rocksalt.lattice, ["Sc", "P"], [[0, 0, 0], [0.25, 0.25, 0.35]])
    made = _candidates([rocksalt, invented], e_above_hull=[0.0, 0.05])
    metrics, _ = matgen.evaluate(made, executor=Serial())
    found = {name.split()[0]: value["share"] for name, value in metrics.items() if name.startswith("SUN")}
    assert found == {"SUN@0": 0.0, "SUN@0.1": 0.5}
    assert next(value["share"] for name, value in metrics.items() if name.startswith("MSUN@0.1")) == 0.5


def test_distances_between_distributions(tmp_path, textbook):
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": range(len(textbook))}), textbook)
    same, _ = matgen.evaluate(_candidates(textbook), tmp_path / "true.parquet", executor=Serial())
    assert same["wasserstein_density"]["value"] == 0.0
    assert same["space_group_distance"]["value"] == 0.0
    assert same["novelty_to_reference"]["share"] == 0.0
    elements = [len(s.composition) for s in textbook]
    only, _ = matgen.evaluate(_candidates(textbook[-1:]), tmp_path / "true.parquet", executor=Serial())
    assert only["wasserstein_elements"]["value"] == pytest.approx(np.mean(elements) - 1, abs=1e-3)


def test_bad_requests_are_refused(tmp_path, textbook):
    with pytest.raises(ConfigError, match="measured against"):
        matgen.evaluate(_candidates(textbook), task="csp", executor=Serial())
    with pytest.raises(ConfigError, match="no task"):
        matgen.evaluate(_candidates(textbook), task="dgn", executor=Serial())
    with pytest.raises(DataError, match="no such file"):
        matgen.evaluate(_candidates(textbook), tmp_path / "nowhere.csv", executor=Serial())


def test_the_bootstrap_covers_the_mean_of_a_known_distribution():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        low, high = bootstrap(rng.normal(1, 2, 80), np.mean, rng)
        hits += low <= 1 <= high
    assert hits >= 85
    assert estimate(np.array([]), np.mean) == {"value": None, "interval": None, "n": 0}


def test_several_answers_to_one_question(tmp_path, textbook):
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": ["a", "b"]}), textbook[:2])
    wrong = Structure(Lattice.cubic(9), ["Mg", "O"], [[0, 0, 0], [0.1, 0.2, 0.3]])
    made = _candidates([wrong, textbook[0], textbook[1]], material_id=["a", "a", "b"])
    metrics, table = matgen.evaluate(made, tmp_path / "true.parquet", "csp", executor=Serial())
    assert metrics["match_rate"]["share"] == 0.5
    assert metrics["match_rate_any"]["share"] == 1.0
    assert table["rms"].isna().tolist() == [True, False, False]


def test_everyone_may_match_the_reference(tmp_path, textbook):
    true = [textbook[0], textbook[0]]
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": ["a", "b"]}), true)
    made = _candidates([textbook[0]], material_id=["a"])
    metrics, _ = matgen.evaluate(made, tmp_path / "true.parquet", "csp", executor=Serial())
    assert metrics["match_rate"]["share"] == 0.5
    assert metrics["metre"]["share"] == 1.0


def test_invalid_answers_do_not_count_among_valid_ones(tmp_path, textbook):
    unbalanced = Structure(Lattice.cubic(4), ["Na", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    true = [unbalanced, textbook[0]]
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": ["a", "b"]}), true)
    metrics, _ = matgen.evaluate(
        _candidates(true, material_id=["a", "b"]), tmp_path / "true.parquet", "csp", executor=Serial()
    )
    assert metrics["match_rate"]["share"] == 1.0
    assert metrics["match_rate_valid"]["share"] == 0.5
    assert metrics["match_rate_among_valid"] == {"share": 1.0, "interval": [0.2065, 1.0], "n": 1}


def test_answers_to_other_questions_are_refused(tmp_path, textbook):
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": ["a"]}), textbook[:1])
    with pytest.raises(ConfigError, match=r"no answer is paired.*look like 'x'.*reference like 'a'"):
        matgen.evaluate(_candidates(textbook[:1], material_id=["x"]), tmp_path / "true.parquet", "csp")


def test_formation_energies_are_compared_where_both_sides_have_them(tmp_path, textbook):
    table = pd.DataFrame({"id": range(len(textbook)), "e_form": 0.0})
    write_structures(tmp_path / "true.parquet", table, textbook)
    made = _candidates(textbook, e_form=[-0.5] * len(textbook))
    metrics, _ = matgen.evaluate(made, tmp_path / "true.parquet", executor=Serial())
    assert metrics["wasserstein_e_form"]["value"] == 0.5


def test_pathological_structures_are_judged_and_end(textbook):
    dense = Structure(Lattice.cubic(0.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 1e-13]]), ["Na"], [[0, 0, 0]])
    huge = Structure(Lattice.cubic(1e6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    broken = Structure(Lattice.cubic(4), ["Na"], [[np.nan, 0, 0]])
    metrics, table = matgen.evaluate(_candidates([dense, flat, broken, huge, textbook[0]]), executor=Serial())
    assert table["structure_valid"].tolist() == [False, False, False, True, True]
    assert metrics["structures"] == 5
    nothing, _ = matgen.evaluate(_candidates([dense]), executor=Serial())
    assert nothing["uniqueness"] == {"share": None, "interval": [0.0, 1.0], "n": 0}


def test_the_two_composition_rules_differ_on_mixed_valence():
    magnetite = Structure(Lattice.cubic(8), ["Fe"] * 3 + ["O"] * 4, np.random.default_rng(0).random((7, 3)))
    assert compositional([magnetite], PUBLISHED).tolist() == [False]
    assert compositional([magnetite], SCREENED).tolist() == [True]


@pytest.mark.shared
def test_a_raw_table_as_reference(shared, tmp_path):
    rows = pd.read_csv(shared / "mp_20/test.csv.gz", keep_default_na=False, nrows=12)
    rows.to_csv(tmp_path / "part.csv.gz", index=False)
    reference = read_reference(tmp_path / "part.csv.gz", Serial())
    assert reference.ids == rows["material_id"].tolist()
    assert np.allclose(reference.energies, rows["formation_energy_per_atom"])
    made = Candidates(pd.DataFrame({"id": reference.ids, "material_id": reference.ids}), reference.structures)
    metrics, _ = matgen.evaluate(made, tmp_path / "part.csv.gz", "csp", executor=Serial())
    assert metrics["match_rate"]["share"] == 1.0
