"""Ways of relaxations, and relaxations that go on after a kill."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import read
from typer.testing import CliRunner

from matgen.cli import app
from matgen.data.candidates import Candidates
from matgen.data.structures import from_atoms, read_structures, write_structures
from matgen.execution import Serial
from matgen.stability.relaxation import relax
from matgen.stability.trajectory import file_name


@pytest.fixture
def metals() -> Candidates:
    """Copper, stretched, and gold with one atom displaced."""
    copper = bulk("Cu", cubic=True)
    copper.set_cell(copper.cell * 1.03, scale_atoms=True)
    gold = bulk("Au", cubic=True)
    gold.positions[0] += 0.15
    return Candidates(pd.DataFrame({"id": ["cu/1", "au"]}), [from_atoms(copper), from_atoms(gold)])


@pytest.mark.parametrize("method", ["batched", "ase"])
def test_a_trajectory_starts_at_the_input_and_ends_at_the_result(metals, tmp_path, method):
    done = relax(metals, "emt", method=method, trajectory=tmp_path, executor=Serial())
    assert "frames" not in done.table
    for name, start, end, row in zip(
        metals.table["id"], metals.structures, done.structures, done.table.to_dict("records"), strict=True
    ):
        frames = read(tmp_path / f"{file_name(name)}.extxyz", ":")
        assert len(frames) == row["relax_steps"] + 1
        assert [frame.info["step"] for frame in frames] == list(range(len(frames)))
        assert frames[0].info["id"] == name
        np.testing.assert_allclose(frames[0].cell[:], start.lattice.matrix, atol=1e-6)
        np.testing.assert_allclose(frames[-1].cell[:], end.lattice.matrix, atol=1e-6)
        assert frames[-1].info["energy_per_atom"] == pytest.approx(row["energy"], abs=1e-6)
        assert frames[-1].info["fmax"] == pytest.approx(row["relax_fmax"], abs=1e-6)
        assert frames[0].info["energy_per_atom"] > frames[-1].info["energy_per_atom"]


def test_file_names_are_safe_and_distinct():
    assert file_name("mp-149") == "mp-149"
    names = {file_name(name) for name in ("a/b", "a b", "a_b", "../x", ".", "")}
    assert len(names) == 6
    assert not any("/" in name or name.startswith(".") for name in names)


def test_a_killed_relaxation_goes_on_and_leaves_nothing_behind(metals, tmp_path, monkeypatch):
    """The second shard fails once, as if the machine had stopped; the first is not computed again."""
    from matgen.stability import relaxation

    monkeypatch.setattr("matgen.execution.Pool", lambda _: Serial())
    monkeypatch.setattr(relaxation, "SHARD", 1)
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    write_structures(source, metals.table, metals.structures)
    original, asked = relaxation.relax_together, []

    def broken(structures, *rest):
        asked.append(structures[0].composition.reduced_formula)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(structures, *rest)

    monkeypatch.setattr(relaxation, "relax_together", broken)
    arguments = ["relax", str(source), "--out", str(out), "--potential", "emt", "--json"]
    assert CliRunner().invoke(app, arguments).exit_code != 0
    assert not out.exists()
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout)["kept"] == 2
    assert sorted(asked) == ["Au", "Au", "Cu"]
    assert read_structures(out)[0]["id"].tolist() == ["cu/1", "au"]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".work"] == []
