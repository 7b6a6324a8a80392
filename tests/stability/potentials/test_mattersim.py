"""MatterSim on weights that it wrote itself: untrained, but in its own format and through its own code."""

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import to_batch
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.stability.energy import Energies
from matgen.stability.potential import load_potential
from matgen.stability.relaxation import relax

forcefield = pytest.importorskip("mattersim.forcefield", reason="not installed: pip install 'matgen[mattersim]'")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = M3Gnet(num_blocks=1, units=16, device="cpu")
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(2.5)  # as initialised, its energy surface is all but flat
    path = tmp_path_factory.mktemp("mattersim") / "untrained.pth"
    forcefield.Potential(network, device="cpu").save(str(path))
    return path


@pytest.fixture(scope="module")
def potential(weights):
    return load_potential({"name": "mattersim", "weights": str(weights)})


@pytest.fixture
def tilted():
    cell = Lattice.from_parameters(4.2, 4.4, 4.6, 85, 92, 97)
    return Structure(cell, ["Ti", "O", "O"], [[0, 0, 0], [0.45, 0.52, 0.1], [0.1, 0.48, 0.55]])


def test_forces_and_stress_are_derivatives_of_the_energy(potential, tilted):
    step = 2e-3

    def slope(plus, minus):
        up, down = potential.evaluate(to_batch([plus, minus]), forces=False).energy
        return (up - down) / (2 * step)

    answer = potential.evaluate(to_batch([tilted]))
    there, back = tilted.copy(), tilted.copy()
    there.translate_sites([1], [step, 0, 0], frac_coords=False)
    back.translate_sites([1], [-step, 0, 0], frac_coords=False)
    assert abs(answer.forces[1, 0]) > 1e-3
    assert answer.forces[1, 0] == pytest.approx(-slope(there, back), rel=0.05)
    stretch = np.diag([step, 0, 0])
    longer, shorter = (
        Structure(Lattice(tilted.lattice.matrix @ (np.eye(3) + s)), tilted.species, tilted.frac_coords)
        for s in (stretch, -stretch)
    )
    assert answer.stress[0, 0, 0] == pytest.approx(slope(longer, shorter) / tilted.volume, rel=0.05)


def test_energy_grows_with_the_cell(potential, tilted):
    one, two = potential.evaluate(to_batch([tilted, tilted * (1, 2, 1)]), forces=False).energy
    assert two == pytest.approx(2 * one, rel=1e-4)


def test_other_weights_are_another_scale(potential, weights, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(weights.read_bytes() + b" ")
    scale = load_potential({"name": "mattersim", "weights": str(other)}).scale
    with pytest.raises(ConfigError, match="mattersim-"):
        Energies(np.zeros(1), potential.scale).on(scale, "hull")


def test_relaxation_lowers_the_energy_and_names_its_scale(potential, weights, tilted):
    before = potential.evaluate(to_batch([tilted]), forces=False).energy[0] / len(tilted)
    spec = {"name": "mattersim", "weights": str(weights)}
    candidates = Candidates(pd.DataFrame({"id": ["tilted"]}), [tilted])
    done = relax(candidates, spec, max_steps=10, executor=Serial())
    assert done.table["energy"][0] < before
    assert done.table["energy_scale"][0] == str(potential.scale)


def test_elements_beyond_plutonium_are_unknown(potential):
    assert {1, 94} <= potential.elements
    assert 95 not in potential.elements
