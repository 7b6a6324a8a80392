"""The study page: complete in itself, every trial accounted for, also for studies without structures."""

from __future__ import annotations

import re

import numpy as np
import optuna
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.structures import write_structures
from matgen.optimize import optimize
from matgen.report import study_charts as charts
from matgen.report.study import study_page


def _pool(path):
    symbols = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba"]
    structures = [Structure(Lattice.cubic(4 + i / 9), [s, "O"], [[0] * 3, [0.5] * 3]) for i, s in enumerate(symbols)]
    gaps = [i % 4 if i else None for i in range(9)]
    write_structures(path, pd.DataFrame({"id": symbols, "e": range(9), "gap": gaps}), structures)
    return {"pool": {"source": str(path), "dimensions": 2}}


def test_page_of_two_objectives(tmp_path):
    space = _pool(tmp_path / "pool.parquet")
    aims = [{"property": "e"}, {"property": "gap", "goal": "maximise"}]
    study = optimize(space, "lookup", aims, sampler="random", evaluations=9, limits=[{"property": "e", "high": 7}])
    text = study_page(study, tmp_path / "study.html", top=3).read_text()
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", text)
    assert text.count('class="poster"') == 3
    for said in (
        "Hypervolume",
        "Importance",
        "Parameters of each trial",
        "Compositions by principal components",
        "Latent coordinates by principal components",
        "the pool has no gap",
    ):
        assert said in text


def test_maps_by_umap(tmp_path):
    pytest.importorskip("umap", reason="not installed: pip install 'matgen[umap]'")
    points = np.random.default_rng(0).normal(size=(24, 5))
    chart = charts.landscape(points, points[:, 0], [f"c{i}" for i in range(24)], "umap")
    assert "UMAP 1" in chart
    assert chart.count("<circle") == 24


def test_a_map_of_two_clusters_keeps_them_apart():
    points = np.repeat([[0.0, 0.0, 1.0], [5.0, 5.0, 0.0]], 5, axis=0) + np.random.default_rng(0).normal(0, 0.1, (10, 3))
    flat, labels = charts._flattened(points, "pca")
    assert abs(flat[:5, 0].mean() - flat[5:, 0].mean()) > 10 * flat[:5, 0].std()
    assert labels[0].startswith("Component 1")


def test_page_of_any_study(tmp_path):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=6)
    assert "Importance" in study_page(study, tmp_path / "study.html").read_text()


def test_page_of_an_empty_study(tmp_path):
    assert "Too few trials" in study_page(optuna.create_study(), tmp_path / "study.html").read_text()
