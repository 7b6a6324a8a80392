import numpy as np
import pytest

from matgen.data.structures import to_batch
from matgen.errors import ConfigError, MissingPackageError
from matgen.stability.potential import POTENTIALS, load_potential


def test_potentials_are_known_by_name():
    assert {"ase", "chgnet", "emt", "lennard-jones", "mace", "mattersim", "orb", "sevennet"} <= set(POTENTIALS.names())


@pytest.mark.parametrize("name", ["mace", "mattersim", "orb"])
def test_missing_weights_are_a_clear_error(name, tmp_path):
    with pytest.raises(MissingPackageError, match="weights"):
        load_potential(name)
    with pytest.raises(MissingPackageError, match="no weights at"):
        load_potential({"name": name, "weights": str(tmp_path / "absent.model")})


def test_a_missing_package_names_its_extra(tmp_path):
    pytest.importorskip("torch")
    weights = tmp_path / "some.model"
    weights.write_bytes(b"weights")
    with pytest.raises(MissingPackageError, match=r"matgen\[mace\]"):
        load_potential({"name": "mace", "weights": str(weights)})


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(ConfigError, match="chgnet"):
        load_potential("chgnt")
    with pytest.raises(ConfigError, match="colour"):
        load_potential({"name": "emt", "colour": "red"})
    with pytest.raises(ConfigError, match="no name"):
        load_potential({"weights": "x"})


def test_any_ase_calculator_can_be_named(rocksalt):
    spec = {"name": "ase", "calculator": "ase.calculators.morse:MorsePotential", "label": "morse", "r0": 2.8}
    potential = load_potential(spec)
    answer = potential.evaluate(to_batch([rocksalt, rocksalt * (2, 1, 1)]))
    assert answer.energy[1] == pytest.approx(2 * answer.energy[0])
    assert answer.forces.shape == (6, 3)
    assert answer.stress.shape == (2, 3, 3)
    assert str(potential.scale) == "morse/none"


@pytest.mark.parametrize("calculator", ["ase.calculators.morse", "no.such.module:Thing", "ase.calculators.morse:Thing"])
def test_a_calculator_that_is_not_there_is_refused(calculator, rocksalt):
    with pytest.raises(ConfigError):
        load_potential({"name": "ase", "calculator": calculator}).evaluate(to_batch([rocksalt]))


def test_different_settings_of_a_toy_are_different_scales():
    scales = {load_potential({"name": "lennard-jones", "sigma": s}).scale for s in (2.0, 2.5)}
    assert len(scales) == 2


def test_stress_is_the_derivative_of_the_energy(rocksalt):
    from pymatgen.core import Lattice, Structure

    potential, step = load_potential("lennard-jones"), 1e-4
    strained = [
        Structure(Lattice(rocksalt.lattice.matrix * (1 + s)), rocksalt.species, rocksalt.frac_coords)
        for s in (step, -step)
    ]
    up, down = potential.evaluate(to_batch(strained), forces=False).energy
    stress = potential.evaluate(to_batch([rocksalt])).stress[0]
    assert np.trace(stress) == pytest.approx((up - down) / (2 * step) / rocksalt.volume, rel=1e-3)
