"""A small run folder whose numbers are computed: textbook crystals, CHGNet energies, the shipped hull, a ranking."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import yaml

from matgen.constraints.screening import screen
from matgen.data.candidates import Candidates
from matgen.execution import Serial
from matgen.optimize.ranking import rank
from matgen.runtime import content_id, versions
from matgen.stability.hull import hull
from matgen.stability.relaxation import single_point

OBJECTIVES = [
    {"property": "e_above_hull", "goal": "minimise", "low": 0.0, "high": 0.1},
    {"property": "e_form", "goal": "minimise", "low": -4.0, "high": 0.0},
]


@pytest.fixture(scope="session")
def ranked(textbook) -> Candidates:
    """Eight ranked rock salts and perovskites; a ninth structure, crushed, is rejected on the way."""
    structures = [*textbook[:8], textbook[1].copy().scale_lattice(0.2)]
    table = pd.DataFrame({"id": [content_id(i) for i in range(len(structures))], "generator": "textbook"})
    screened = screen(Candidates(table, structures), ["min_distance"])
    judged = single_point(screened, executor=Serial())
    energies = judged.with_columns({"energy": judged.table["energy_unrelaxed"]})
    return rank(hull(energies), OBJECTIVES)


@pytest.fixture(scope="session")
def finished(ranked, tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("runs") / "textbook"
    ranked.write(folder)
    steps = [{"stage": name} for name in ("sample", "screen", "single_point", "hull", "rank")]
    protocol = {"potential": "chgnet-0.3.0", "hull_reference": "chgnet-0.3.0"}
    record = {"funnel": steps, "timings": {"screen": 1.5, "hull": 0.5}, "protocol": protocol}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "config.yaml").write_text(yaml.safe_dump({"workflow": "textbook", "rank": OBJECTIVES}))
    (folder / "environment.json").write_text(json.dumps(versions()))
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(finished, tmp_path / "textbook")
