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
from matgen.evaluate.interval import wilson
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
    assert metrics["rmse"] == pytest.approx(0.0, abs=1e-6)
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


def test_de_novo_metrics_and_what_is_skipped(textbook):
    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    unbalanced = Structure(Lattice.cubic(4), ["Na", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    metrics, table = matgen.evaluate(_candidates([*textbook, textbook[0], overlapping, unbalanced]), executor=Serial())
    assert metrics["structural_validity"]["share"] == pytest.approx(13 / 14, abs=1e-3)
    assert table["structure_valid"].tolist().index(False) == 12
    assert not table["composition_valid"].iat[13]
    assert metrics["uniqueness"]["share"] == pytest.approx(12 / 13, abs=1e-3)
    assert "SUN, MSUN" in metrics["skipped"]
    assert "wasserstein" in metrics["skipped"]


def test_stable_unique_novel_counts_against_all_structures(rocksalt):
    invented = Structure(rocksalt.lattice, ["Sc", "P"], [[0, 0, 0], [0.25, 0.25, 0.35]])
    made = _candidates([rocksalt, invented], e_above_hull=[0.0, 0.05])
    metrics, _ = matgen.evaluate(made, executor=Serial())
    found = {name.split()[0]: value["share"] for name, value in metrics.items() if name.startswith("SUN")}
    assert found == {"SUN@0": 0.0, "SUN@0.1": 0.5}


def test_distances_between_distributions(tmp_path, textbook):
    write_structures(tmp_path / "true.parquet", pd.DataFrame({"id": range(len(textbook))}), textbook)
    same, _ = matgen.evaluate(_candidates(textbook), tmp_path / "true.parquet", executor=Serial())
    assert same["wasserstein_density"] == 0.0
    elements = [len(s.composition) for s in textbook]
    only, _ = matgen.evaluate(_candidates(textbook[-1:]), tmp_path / "true.parquet", executor=Serial())
    assert only["wasserstein_elements"] == pytest.approx(np.mean(elements) - 1, abs=1e-3)


def test_bad_requests_are_refused(tmp_path, textbook):
    with pytest.raises(ConfigError, match="measured against"):
        matgen.evaluate(_candidates(textbook), task="csp", executor=Serial())
    with pytest.raises(ConfigError, match="no task"):
        matgen.evaluate(_candidates(textbook), task="dgn", executor=Serial())
    with pytest.raises(DataError, match="no such file"):
        matgen.evaluate(_candidates(textbook), tmp_path / "nowhere.csv", executor=Serial())
