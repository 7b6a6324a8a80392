import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from matgen.data.structures import from_atoms, to_batch
from matgen.errors import ConfigError
from matgen.stability.batched import GPA, RelaxSettings, relax_together
from matgen.stability.energy import EnergyScale
from matgen.stability.potential import load_potential


@pytest.fixture(scope="module")
def chgnet():
    return load_potential("chgnet")


@pytest.fixture
def crystals(rocksalt, perovskite, diamond):
    rattled = perovskite.copy()
    rattled.perturb(0.2)
    # Caesium has no bond short enough for an angle; argon far apart has hardly an edge at all.
    sparse = [Structure(Lattice.cubic(5.9), ["Cs"], [[0, 0, 0]]), Structure(Lattice.cubic(5.95), ["Ar"], [[0, 0, 0]])]
    return [rocksalt, *sparse, perovskite, rattled, diamond * (2, 1, 1)]


def test_it_agrees_with_the_chgnet_package(chgnet, crystals):
    ours = chgnet.evaluate(to_batch(crystals))
    theirs = chgnet.calculator().model.predict_structure(crystals, task="efs")
    sizes = np.array([len(s) for s in crystals])
    assert ours.energy / sizes == pytest.approx(np.array([t["e"] for t in theirs]), abs=1e-5)
    assert np.abs(ours.forces - np.concatenate([t["f"] for t in theirs])).max() < 2e-4
    assert np.abs(ours.stress * GPA - np.stack([t["s"] for t in theirs])).max() < 5e-3


def test_a_batch_gives_what_each_gives_alone(chgnet, crystals):
    together = chgnet.evaluate(to_batch(crystals))
    alone = [chgnet.evaluate(to_batch([s])) for s in crystals]
    assert together.energy == pytest.approx(np.concatenate([a.energy for a in alone]), abs=2e-5)
    assert np.abs(together.forces - np.concatenate([a.forces for a in alone])).max() < 1e-4


def test_energies_alone_are_the_same(chgnet, crystals):
    batch = to_batch(crystals)
    assert chgnet.evaluate(batch, forces=False).energy == pytest.approx(chgnet.evaluate(batch).energy, abs=1e-5)


def test_forces_and_stress_are_derivatives_of_the_energy(chgnet, perovskite):
    structure = perovskite.copy()
    structure.translate_sites([1], [0.03, 0.01, 0.0])
    step, answer = 5e-3, chgnet.evaluate(to_batch([structure]))
    moved = [structure.copy() for _ in range(2)]
    for sign, copy in zip((1, -1), moved, strict=True):
        copy.translate_sites([1], [sign * step, 0, 0], frac_coords=False)
    up, down = chgnet.evaluate(to_batch(moved)).energy
    assert answer.forces[1, 0] == pytest.approx(-(up - down) / (2 * step), rel=0.02, abs=5e-3)
    strain = np.zeros((3, 3))
    strain[0, 0] = step
    stretched = [
        Structure(
            Lattice(structure.lattice.matrix @ (np.eye(3) + s * strain)), structure.species, structure.frac_coords
        )
        for s in (1, -1)
    ]
    up, down = chgnet.evaluate(to_batch(stretched)).energy
    assert answer.stress[0, 0, 0] == pytest.approx((up - down) / (2 * step) / structure.volume, rel=0.02, abs=1e-3)


def test_turning_and_relabelling_change_nothing(chgnet, perovskite):
    structure = perovskite.copy()
    structure.perturb(0.1)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = Structure(Lattice(structure.lattice.matrix @ turn), structure.species, structure.frac_coords)
    relabelled = Structure.from_sites([structure[i] for i in (3, 0, 4, 1, 2)])
    energies = chgnet.evaluate(to_batch([structure, turned, relabelled])).energy
    assert energies == pytest.approx([energies[0]] * 3, abs=5e-5)


@pytest.mark.parametrize(
    ("crystal", "a"),
    # Lattice constants of the conventional cell that chgnet 0.4.2's own StructOptimizer gives (fmax 0.01), Å.
    [
        (bulk("Si", a=5.6), 5.460),
        (bulk("NaCl", "rocksalt", a=5.5), 5.697),
        (bulk("MgO", "rocksalt", a=4.35), 4.258),
        (bulk("Cu", a=3.5), 3.616),
    ],
)
def test_lattice_constants(chgnet, crystal, a):
    (result,) = relax_together([from_atoms(crystal)], chgnet, RelaxSettings(fmax=0.01))
    assert result.status == "ok"
    assert (4 * abs(np.linalg.det(result.cell))) ** (1 / 3) == pytest.approx(a, rel=0.005)


def test_its_scale_and_elements(chgnet):
    assert chgnet.scale == EnergyScale("chgnet-0.3.0", "MP2020")
    assert len(chgnet.elements) == 89
    assert load_potential({"name": "chgnet", "version": "r2scan"}).scale != chgnet.scale


def test_an_unknown_version_is_refused():
    with pytest.raises(ConfigError, match="r2scan"):
        load_potential({"name": "chgnet", "version": "r2scam"})
