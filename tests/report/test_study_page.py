"""The study page: complete in itself, every trial accounted for, also for studies without structures."""

from __future__ import annotations

import re

import optuna
import pandas as pd
from pymatgen.core import Lattice, Structure

from matgen.data.structures import write_structures
from matgen.optimize import optimize
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
        "Principal components",
        "the pool has no gap",
    ):
        assert said in text


def test_page_of_any_study(tmp_path):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=6)
    assert "Importance" in study_page(study, tmp_path / "study.html").read_text()


def test_page_of_an_empty_study(tmp_path):
    assert "Too few trials" in study_page(optuna.create_study(), tmp_path / "study.html").read_text()
