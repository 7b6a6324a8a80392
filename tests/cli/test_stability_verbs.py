"""The verbs relax and hull, in this process."""

import json

import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.structures import from_atoms, read_structures, write_structures
from matgen.errors import ConfigError
from matgen.execution import Serial


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def in_this_process(monkeypatch):
    """Spare the tests that are not about workers their start."""
    monkeypatch.setattr("matgen.execution.Pool", lambda _: Serial())


@pytest.fixture
def alloys(tmp_path):
    cu3au = from_atoms(bulk("Cu", cubic=True))
    cu3au.replace(0, "Au")
    stretched = Structure(Lattice(cu3au.lattice.matrix * 1.02), cu3au.species, cu3au.frac_coords)
    overlap = Structure(Lattice.cubic(4), ["Cu", "Au"], [[0, 0, 0], [0.01, 0, 0]])
    path = tmp_path / "alloys.parquet"
    write_structures(path, pd.DataFrame({"id": ["good", "bad"]}), [stretched, overlap])
    return path


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "emt.csv"
    path.write_text("formula,energy,potential\nCu,-0.006,emt\nAu,0.0,emt\nCuAu,-0.06,emt\n")
    return path


def test_relax_writes_the_good_and_keeps_the_bad_apart(alloys, tmp_path):
    out = tmp_path / "relaxed.extxyz"
    result = run("relax", alloys, "--out", out, "--potential", "emt", "--workers", 1, "--json")
    said = json.loads(result.stdout)
    assert (said["kept"], said["rejected"], said["statuses"]) == (1, 1, {"ok": 1, "rejected": 1})
    table, structures = read_structures(out)
    assert table["relax_status"].tolist() == ["ok"]
    assert structures[0].volume > 40
    refused, _ = read_structures(said["rejected_out"])
    assert refused["id"].tolist() == ["bad"]


@pytest.mark.usefixtures("in_this_process")
def test_hull_relaxes_what_has_no_energies(alloys, reference, tmp_path):
    out = tmp_path / "judged.parquet"
    options = ("--potential", "emt", "--reference", reference, "--workers", 1, "--json")
    said = json.loads(run("hull", alloys, "--out", out, *options).stdout)
    assert (said["energies"], said["kept"], said["rejected"]) == ("energy", 1, 1)
    table, _ = read_structures(out)
    assert table["competing_phases"].tolist() == ["0.5 Cu + 0.5 CuAu"]
    assert abs(table["e_above_hull"].iloc[0]) < 0.1


@pytest.mark.usefixtures("in_this_process")
def test_hull_leaves_structures_alone_on_request(alloys, reference, tmp_path):
    out = tmp_path / "judged.parquet"
    options = ("--no-relax", "--potential", "emt", "--reference", reference, "--workers", 1, "--json")
    assert json.loads(run("hull", alloys, "--out", out, *options).stdout)["energies"] == "energy_unrelaxed"
    assert "e_above_hull_unrelaxed" in read_structures(out)[0]


@pytest.mark.usefixtures("in_this_process")
def test_hull_refuses_energies_of_another_potential(alloys, tmp_path):
    with pytest.raises(ConfigError, match="cannot be compared"):
        run("hull", alloys, "--out", tmp_path / "x.parquet", "--potential", "emt", "--workers", 1)


@pytest.mark.parametrize("suffix", ["html", "png"])
def test_hull_draws_a_diagram(suffix, tmp_path):
    out = tmp_path / f"hull.{suffix}"
    said = json.loads(run("hull", "Na-Cl", "--out", out, "--json").stdout)
    assert "NaCl" in said["stable"]
    assert out.stat().st_size > 10_000
    if suffix == "html":
        assert "<script src=" not in out.read_text()  # opens offline


@pytest.mark.parametrize("system", ["Na-Xx", "Na-Na", "Li-Na-K-Rb-Cs"])
def test_what_cannot_be_drawn_is_refused(system, tmp_path):
    with pytest.raises(ConfigError):
        run("hull", system, "--out", tmp_path / "x.html")


def test_a_setting_without_value_is_refused(alloys, tmp_path):
    with pytest.raises(ConfigError, match="key=value"):
        run("relax", alloys, "--out", tmp_path / "x.parquet", "--setting", "weights")


@pytest.mark.usefixtures("in_this_process")
def test_a_reference_table_is_built_and_used(alloys, tmp_path, monkeypatch):
    from matgen.stability import reference_building
    from matgen.stability.potentials.classical import EffectiveMedium

    # The real building, over two elements instead of EMT's eleven and few prototypes.
    monkeypatch.setattr(EffectiveMedium, "elements", property(lambda _: frozenset({29, 79})))
    monkeypatch.setattr(reference_building, "STARTS", 2)
    out = tmp_path / "emt-alloys"
    options = ("--potential", "emt", "--note", "two alloys", "--workers", 1, "--json")
    card = json.loads(run("hull", alloys, "--build-reference", "--out", out, *options).stdout)
    assert (card["potential"], card["n_entries"], card["source"]) == ("emt", 3, "two alloys")
    judged = tmp_path / "judged.parquet"
    run("hull", alloys, "--out", judged, "--potential", "emt", "--reference", out, "--workers", 1)
    assert read_structures(judged)[0]["e_above_hull"].iloc[0] == pytest.approx(0.0, abs=2e-3)
