import time

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from matgen.data.structures import from_atoms
from matgen.stability.batched import RelaxSettings, relax_together
from matgen.stability.energy import EnergyScale
from matgen.stability.plain import relax_one_by_one
from matgen.stability.potential import Evaluation, Potential, load_potential

TIGHT = RelaxSettings(fmax=0.005)


def _strained(symbol, factor, rattle=0.0):
    atoms = bulk(symbol, cubic=True)
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    atoms.rattle(rattle, seed=0)
    return from_atoms(atoms)


class Scripted(Potential):
    """Answers what a test wants to see."""

    name = "scripted"

    def __init__(self, energy=0.0, force=1.0, stress=0.0, error=None, limit=10**6, wait=0.0):
        self.energy, self.force, self.stress, self.error, self.limit, self.wait = (
            energy,
            force,
            stress,
            error,
            limit,
            wait,
        )
        self.sizes = []

    @property
    def scale(self):
        return EnergyScale("scripted")

    @property
    def elements(self):
        return frozenset(range(1, 119))

    def evaluate(self, batch, *, forces=True):
        self.sizes.append(batch.num_graphs)
        if batch.num_nodes > self.limit:
            raise RuntimeError(self.error)
        time.sleep(self.wait)
        a, s = batch.num_nodes, batch.num_graphs
        pushes = np.zeros((a, 3))
        pushes[:, 0] = self.force
        return Evaluation(np.full(s, self.energy), pushes, np.broadcast_to(np.eye(3) * self.stress, (s, 3, 3)))

    def calculator(self):
        raise NotImplementedError


@pytest.mark.parametrize(("symbol", "a"), [("Cu", 3.590), ("Al", 3.995), ("Ag", 4.065)])
def test_emt_metals_have_their_lattice_constants(symbol, a):
    (result,) = relax_together([_strained(symbol, 1.04, 0.05)], load_potential("emt"), TIGHT)
    assert result.status == "ok"
    assert np.linalg.norm(result.cell, axis=1) == pytest.approx([a] * 3, abs=0.01)
    assert abs(result.pressure) < 0.2


def test_lennard_jones_crystal_has_the_density_of_its_closed_form():
    # The fcc Lennard-Jones solid with an infinite range has its minimum at r = 1.090 sigma (Kittel, ch. 3).
    potential = load_potential({"name": "lennard-jones", "sigma": 2.5, "cutoff": 15.0})
    start = from_atoms(bulk("Ar", "fcc", a=2.5 * 1.09 * np.sqrt(2) * 1.03))
    (result,) = relax_together([start], potential, RelaxSettings(fmax=1e-4))
    nearest = np.linalg.norm(result.cell, axis=1)
    assert nearest == pytest.approx([2.5 * 1.0902] * 3, rel=2e-3)


def test_batched_and_ase_agree():
    structures = [_strained("Cu", 0.97, 0.1), from_atoms(bulk("Al", a=4.2)), from_atoms(bulk("Au", a=4.0))]
    potential, settings = load_potential("emt"), RelaxSettings(fmax=0.02)
    ours, theirs = relax_together(structures, potential, settings), relax_one_by_one(structures, potential, settings)
    assert [r.status for r in theirs] == ["ok"] * 3
    assert [r.energy for r in ours] == pytest.approx([r.energy for r in theirs], abs=1e-3)
    volumes = [[abs(np.linalg.det(r.cell)) for r in results] for results in (ours, theirs)]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-2)


def test_results_do_not_depend_on_the_batch():
    structures = [_strained("Cu", 0.97, 0.1), _strained("Al", 1.05, 0.1), _strained("Ag", 1.02, 0.1)]
    potential = load_potential("emt")
    together = relax_together(structures, potential)
    alone = [relax_together([s], potential)[0] for s in structures]
    assert [r.energy for r in together] == [r.energy for r in alone]
    assert [r.steps for r in together] == [r.steps for r in alone]


def test_a_fixed_cell_stays():
    structure = _strained("Cu", 1.03, 0.1)
    (result,) = relax_together([structure], load_potential("emt"), RelaxSettings(cell=False))
    assert np.allclose(result.cell, structure.lattice.matrix)
    assert result.status == "ok"


def test_a_kept_space_group_survives():
    structure = _strained("Cu", 1.04)
    structure.replace(0, "Au")
    settings = RelaxSettings(symmetry=True)
    (result,) = relax_together([structure], load_potential("emt"), settings)
    relaxed = Structure(Lattice(result.cell), structure.species, result.frac)
    assert relaxed.get_space_group_info(0.001)[1] == structure.get_space_group_info(0.001)[1] == 221


@pytest.mark.parametrize(
    ("potential", "settings", "status"),
    [
        (Scripted(force=1.0), RelaxSettings(max_steps=3), "unconverged"),
        (Scripted(force=0.0), RelaxSettings(), "ok"),
        (Scripted(energy=float("nan")), RelaxSettings(), "nan"),
        (Scripted(force=float("nan")), RelaxSettings(), "nan"),
        (Scripted(force=0.0, stress=-9.0), RelaxSettings(), "exploded"),
        (Scripted(force=0.0, stress=9.0), RelaxSettings(), "exploded"),
        (Scripted(wait=0.03), RelaxSettings(seconds=0.05), "timeout"),
        (Scripted(error="CUDA out of memory", limit=0), RelaxSettings(), "oom"),
        (Scripted(error="no such parameter", limit=0), RelaxSettings(), "error"),
    ],
)
def test_every_end_has_its_status(rocksalt, potential, settings, status):
    (result,) = relax_together([rocksalt], potential, settings)
    assert result.status == status
    assert (result.reason is None) == (status == "ok")


def test_a_batch_too_large_for_memory_is_halved_and_nothing_is_lost(rocksalt):
    potential = Scripted(force=0.0, error="Failed to allocate 3 bytes", limit=4)
    results = relax_together([rocksalt] * 16, potential)
    assert [r.status for r in results] == ["ok"] * 16
    assert potential.sizes[:4] == [16, 8, 4, 2]


def test_batches_stay_within_their_size(rocksalt):
    potential = Scripted(force=1.0)
    relax_together([rocksalt] * 7, potential, RelaxSettings(max_steps=2, batch_atoms=6))
    assert max(potential.sizes) == 3
