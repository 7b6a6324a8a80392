"""Partial structures: fixed atoms and cells stay exactly where they are, and who cannot keep them refuses."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.data.fixed import Fixed, parse_sites, read_fixed
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.generators.base import load_generator
from matgen.generators.diffusion import Diffusion
from matgen.generators.flow import Flow
from matgen.generators.random_symmetric import RandomSymmetric
from matgen.generators.sampling import sample
from matgen.runtime import Streams

TINY = {"width": 32, "layers": 2, "heads": 4, "channels": 8, "max_atoms": 8}
HOST = Structure(
    Lattice([[4, 0, 0], [1, 5, 0], [0, 0, 3.9]]), ["Ti", "O", "O"], [[0.1, 0, 0], [0.6, 0.5, 0], [0, 0, 0.5]]
)


@pytest.fixture(scope="module", params=[Flow, Diffusion])
def model(request, small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = request.param(**TINY)
    made.prepare(small_set)
    return made.eval()


def draw(model, **asked):
    return from_batch(model.sample(Request(n=3, **asked), rng=Streams(0, "fixed"), steps=4))


def test_atoms_and_cell_stay_and_the_rest_is_made(model):
    for made in draw(model, fixed=Fixed.of(HOST), n_atoms=5):
        assert np.array_equal(made.lattice.matrix, HOST.lattice.matrix)
        assert [site.specie.symbol for site in made[:3]] == ["Ti", "O", "O"]
        assert np.allclose(made.frac_coords[:3], HOST.frac_coords, atol=1e-12)
        assert len(made) == 5


def test_a_formula_is_completed_around_the_fixed_atoms(model):
    for made in draw(model, fixed=Fixed.of(HOST, [0], cell=False), formula="SrTiO3"):
        assert made.composition.reduced_formula == "SrTiO3"
        assert made[0].specie.symbol == "Ti"
        assert np.allclose(made[0].frac_coords, HOST[0].frac_coords, atol=1e-12)


def test_a_cell_alone_can_be_fixed(model):
    cells = [made.lattice.matrix for made in draw(model, fixed=Fixed.of(HOST, []))]
    assert all(np.array_equal(cell, HOST.lattice.matrix) for cell in cells)


def test_what_cannot_be_met_is_refused(model):
    with pytest.raises(ConfigError, match="not part of the composition"):
        draw(model, fixed=Fixed.of(HOST), formula="MgO")
    with pytest.raises(ConfigError, match="not of the chemical system"):
        draw(model, fixed=Fixed.of(HOST), chemical_system="Mg-O")
    with pytest.raises(ConfigError, match="cannot be asked for together"):
        draw(model, fixed=Fixed.of(HOST), space_group=225)
    with pytest.raises(ConfigError, match="fits the request"):
        draw(model, fixed=Fixed.of(HOST), n_atoms=2)
    with pytest.raises(ConfigError, match="'random-symmetric' cannot honour 'fixed'"):
        RandomSymmetric().sample(Request(fixed=Fixed.of(HOST)), rng=Streams(0, "x"))


def test_a_request_survives_json():
    request = Request(n_atoms=5, fixed=Fixed.of(HOST))
    assert Request(**json.loads(json.dumps(asdict(request)))) == request
    assert request.given == {"n_atoms", "fixed"}


def test_files_and_sites(tmp_path):
    path = tmp_path / "host.cif"
    HOST.to(str(path))
    assert read_fixed(path).numbers == (22, 8, 8)
    assert len(read_fixed(path, "1-2", cell=False).frac) == 2
    assert read_fixed(path, "none").cell is not None
    assert parse_sites("0-2,5") == [0, 1, 2, 5]
    with pytest.raises(ConfigError, match="names no sites"):
        parse_sites("a-b")
    with pytest.raises(ConfigError, match="no site 7"):
        read_fixed(path, "7")
    with pytest.raises(ConfigError, match="neither"):
        read_fixed(path, "none", cell=False)


def test_sampling_by_name_takes_a_partial_structure():
    assert "fixed" in load_generator("flow-mp20").conditions
    made = sample("flow-mp20", 2, fixed=Fixed.of(HOST), n_atoms=5, options={"steps": 3}, executor=Serial())
    assert all(np.allclose(s.lattice.matrix, HOST.lattice.matrix) for s in made.structures)
