"""``matgen fill`` on a tiny untrained model: a complete answer, and clear errors."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from matgen.cli import app
from matgen.generators.bert import CrystalBERT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CrystalBERT(width=16, layers=1, heads=2, max_atoms=8)
    path = tmp_path_factory.mktemp("bert")
    model.save(path)
    return path


def test_elements_and_letters_of_a_site(folder, perovskite, tmp_path):
    file = tmp_path / "one.cif"
    perovskite.to(str(file))
    done = CliRunner().invoke(app, ["fill", str(file), "--site", "0", "--model", str(folder), "--top", "5", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["space_group"] == 221
    assert len(found["elements"]) == 5
    shares = [row["probability"] for row in found["elements"]]
    assert shares == sorted(shares, reverse=True)
    assert {row["letter"] for row in found["letters"]} <= set("abcdefghijklmn")


def test_a_site_that_is_not_there(folder, perovskite, tmp_path):
    file = tmp_path / "one.cif"
    perovskite.to(str(file))
    done = CliRunner().invoke(app, ["fill", str(file), "--site", "50", "--model", str(folder)])
    assert done.exit_code != 0
