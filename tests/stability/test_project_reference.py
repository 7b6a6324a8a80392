"""Reference energies from a web server of this test that answers as the Materials Project does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.candidates import Candidates
from matgen.data.readers.materials_project import ENDPOINT_VARIABLE, KEY_VARIABLE
from matgen.data.structures import write_structures
from matgen.errors import ConfigError, DataError
from matgen.stability import project_reference as module
from matgen.stability.diagram import draw_hull
from matgen.stability.hull import hull
from matgen.stability.project_reference import project_reference
from matgen.stability.references import load_reference

DOCUMENTS = [
    {"material_id": "mp-1", "formula_pretty": "Na", "chemsys": "Na", "nsites": 2, "energy_per_atom": -1.3},
    {"material_id": "mp-2", "formula_pretty": "Cl2", "chemsys": "Cl", "nsites": 8, "energy_per_atom": -1.8},
    {"material_id": "mp-3", "formula_pretty": "NaCl", "chemsys": "Cl-Na", "nsites": 2, "energy_per_atom": -3.5},
    {"material_id": "mp-4", "formula_pretty": "NaCl", "chemsys": "Cl-Na", "nsites": 4, "energy_per_atom": -3.4},
    {"material_id": "mp-5", "formula_pretty": "KCl", "chemsys": "Cl-K", "nsites": 2, "energy_per_atom": -3.6},
]
UNCORRECTED = 0.3


@pytest.fixture
def project(monkeypatch):
    """Yields the queries that were asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            asked.append({**query, "path": urlsplit(self.path).path})
            inside = [d for d in DOCUMENTS if d["chemsys"] in query["chemsys"].split(",")]
            inside = [{**d, "uncorrected_energy_per_atom": d["energy_per_atom"] + UNCORRECTED} for d in inside]
            start = int(query["_skip"])
            raw = json.dumps({"data": inside[start : start + 2], "meta": {"total_doc": len(inside)}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(KEY_VARIABLE, "a-key")
    monkeypatch.setenv(ENDPOINT_VARIABLE, f"http://127.0.0.1:{server.server_port}")
    module._asked.cache_clear()
    yield asked
    server.shutdown()
    server.server_close()
    module._asked.cache_clear()


def salt(energy: float, scale: str) -> Candidates:
    structure = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    return Candidates(pd.DataFrame({"id": ["a"], "energy": [energy], "energy_scale": [scale]}), [structure])


def test_candidates_are_judged_by_their_own_systems(project):
    done = hull(salt(-3.3, "dft-GGA_GGA+U/MP2020"), "mp")
    assert done.table["e_above_hull"].tolist() == pytest.approx([0.2])
    assert done.table["e_form"].tolist() == pytest.approx([-3.3 + 1.55])
    assert done.table["hull_reference"].tolist() == ["mp-GGA_GGA+U"]
    assert {q["path"] for q in project} == {"/materials/thermo/"}
    assert project[0]["chemsys"] == "Cl,Cl-Na,Na"
    assert project[0]["thermo_types"] == "GGA_GGA+U"


@pytest.mark.parametrize("scale", ["chgnet-0.3.0/MP2020", "dft-GGA_GGA+U/none", "dft-R2SCAN/none"])
def test_energies_of_another_kind_are_refused(project, scale):
    with pytest.raises(ConfigError, match=r"cannot be compared.*same functional and corrections"):
        hull(salt(-3.3, scale), "mp")


def test_a_potential_has_no_place_in_it_the_other_way_round():
    with pytest.raises(ConfigError, match="cannot be compared"):
        hull(salt(-3.3, "dft-GGA_GGA+U/MP2020"), "chgnet-0.3.0")


def test_functional_and_corrections_are_on_the_scale(project):
    raw = load_reference("mp?corrections=none", [["Na", "Cl"]])
    assert str(raw.scale) == "dft-GGA_GGA+U/none"
    assert raw.element_energies["Na"] == pytest.approx(-1.3 + UNCORRECTED)
    assert str(load_reference("mp?functional=R2SCAN", [["Na"]]).scale) == "dft-R2SCAN/none"
    assert project[-1]["thermo_types"] == "R2SCAN"


def test_the_lowest_of_polymorphs_counts_and_nothing_is_asked_twice(project):
    one = project_reference([["Na", "Cl"]])
    assert one.entries["formula"].tolist() == ["Cl2", "Na", "NaCl"]
    assert one.entries.set_index("formula").loc["NaCl", "energy"] == -3.5
    asked = len(project)
    project_reference([["Cl", "Na"], ["Na"]])
    assert len(project) == asked


def test_it_can_be_kept_and_drawn(project, tmp_path):
    project_reference([["Na", "Cl"]]).save(tmp_path / "kept")
    assert hull(salt(-3.5, "dft-GGA_GGA+U/MP2020"), tmp_path / "kept").table["e_above_hull"][0] == pytest.approx(0)
    assert draw_hull(["Na", "Cl"], tmp_path / "x.html", "mp")["stable"] == ["Cl2", "Na", "NaCl"]


@pytest.mark.parametrize(
    ("name", "systems", "said"),
    [
        ("mp?functional=PBE", [["Na"]], "PBE"),
        ("mp?corrections=MP2020", [["Na"]], "corrections"),
        ("mp?colour=red", [["Na"]], "colour"),
        ("mp", None, "which chemical systems"),
        ("mp", [["Li", "Na", "K", "Rb", "Cs", "O", "S", "Se", "Te"]], "9 elements"),
    ],
)
def test_clear_refusals(project, name, systems, said):
    with pytest.raises(ConfigError, match=said):
        load_reference(name, systems)
    assert project == []


def test_nothing_known_is_said(project):
    with pytest.raises(DataError, match="no energies"):
        project_reference([["Pu"]])


def test_without_a_key_nothing_is_asked(project, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match="API key"):
        project_reference([["Na"]])
    assert project == []


def test_the_verb_computes_nothing_that_could_not_be_judged(project, tmp_path):
    source = tmp_path / "bare.parquet"
    write_structures(source, pd.DataFrame({"id": ["a"]}), salt(0.0, "").structures)
    with pytest.raises(ConfigError, match="carry no energies of density functional theory"):
        CliRunner().invoke(
            app,
            ["hull", str(source), "--out", str(tmp_path / "x.parquet"), "--reference", "mp"],
            catch_exceptions=False,
        )
    assert project == []
