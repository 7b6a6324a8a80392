"""Every notebook runs from top to bottom, on a run folder made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from matgen.constraints.screening import screen
from matgen.data.candidates import Candidates
from matgen.execution import Serial
from matgen.optimize.ranking import rank
from matgen.runtime import content_id
from matgen.stability.hull import hull
from matgen.stability.relaxation import single_point
from matgen.surrogates.prediction import predict

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def finished(textbook, tmp_path_factory):
    """Textbook crystals, judged, predicted and ranked."""
    structures = [*textbook[:8], textbook[1].copy().scale_lattice(0.2)]
    table = pd.DataFrame({"id": [content_id(i) for i in range(len(structures))]})
    screened = screen(Candidates(table, structures), ["min_distance"])
    judged = predict("band_gap", single_point(screened, executor=Serial()))
    ranked = rank(hull(judged.with_columns({"energy": judged.table["energy_unrelaxed"], "novel": [False] * 8})))
    folder = tmp_path_factory.mktemp("runs") / "textbook"
    ranked.write(folder)
    return folder


def code(notebook):
    """The code of a notebook; a cell's last line is its value, which plain Python would not show."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(notebook, finished, tmp_path):
    environment = {**os.environ, "MATGEN_RUN": str(finished), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "ignore", "-c", code(notebook)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "report.html").stat().st_size > 5e5
    assert len(list((tmp_path / "export" / "cifs").glob("*.cif"))) == 8


def test_there_are_notebooks():
    assert NOTEBOOKS
