import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import from_atoms
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.stability.elasticity import Elasticity, elasticity, equation_of_state
from matgen.stability.examination import check_candidate, examine
from matgen.stability.phonons import phonon_frequencies, repeats
from matgen.stability.plausibility import decomposition, suspicions
from matgen.stability.potential import load_potential

EMT = load_potential("emt")
COPPER = from_atoms(bulk("Cu", a=3.590))


def _judged(**columns):
    table = pd.DataFrame({"id": ["a"], "competing_phases": ["0.5 Cu + 0.5 Au"], **{k: [v] for k, v in columns.items()}})
    return Candidates(table, [Structure(Lattice.cubic(3.05), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])])


def test_averages_of_an_isotropic_solid_are_its_moduli():
    k, g = 100.0, 40.0
    c = np.diag([2 * g] * 3 + [g] * 3) + np.pad(np.full((3, 3), k - 2 * g / 3), (0, 3))
    solid = Elasticity(c)
    assert solid.born_stable
    assert solid.bulk_modulus == pytest.approx(k)
    assert solid.shear_modulus == pytest.approx(g)


def test_a_negative_shear_breaks_the_born_criteria():
    broken = Elasticity(np.diag([100.0, 100, 100, 40, 40, -1]))
    assert not broken.born_stable
    assert np.isnan(broken.bulk_modulus)


def test_copper_is_cubic_and_both_bulk_moduli_agree():
    found = elasticity(COPPER, EMT)
    c = found.stiffness
    assert c[0, 0] == pytest.approx(c[2, 2], rel=1e-3)
    assert c[3, 3] == pytest.approx(c[5, 5], rel=1e-3)
    assert abs(c[0, 3]) < 0.5
    volume, modulus = equation_of_state(COPPER, EMT)
    assert modulus == pytest.approx(found.bulk_modulus, rel=0.03)
    assert volume == pytest.approx(3.59**3 / 4, rel=0.01)


def test_copper_has_three_acoustic_modes_and_no_imaginary_one():
    frequencies = phonon_frequencies(COPPER, EMT, (3, 3, 3))
    assert frequencies.shape == (27, 3)
    assert np.abs(frequencies[0]).max() < 0.05
    assert frequencies[1:].min() > 1.0


def test_simple_cubic_copper_is_a_saddle():
    simple = Structure(Lattice.cubic(2.4), ["Cu"], [[0, 0, 0]])
    assert phonon_frequencies(simple, EMT, (3, 3, 3)).min() < -1.0


def test_supercells_grow_along_short_axes_within_the_limit():
    flat = Structure(Lattice.tetragonal(3.0, 12.0), ["Cu"], [[0, 0, 0]])
    assert repeats(flat, 9.0) == (3, 3, 1)
    assert np.prod(repeats(flat, 50.0, largest=20)) <= 20


def test_all_checks_of_one_structure():
    row = check_candidate(COPPER, EMT)
    assert row["examination"] == "ok"
    assert row["dynamically_stable"]
    assert row["born_stable"]


def test_examine_adds_columns_and_words():
    done = examine(_judged(e_above_hull=0.05), "emt", executor=Serial())
    assert "0.050 eV/atom" in done.table["decomposition"].iloc[0]
    assert done.table["implausibly_low"].iloc[0] == ""
    assert len(done) == 1


def test_low_energies_are_doubted_with_evidence():
    assert suspicions(_judged(e_above_hull=-0.05, thin_system=True)) == [""]
    assert suspicions(_judged(e_above_hull=-0.2)) == [""]
    assert "deeper than 0.3" in suspicions(_judged(e_above_hull=-0.4))[0]
    doubt = suspicions(_judged(e_above_hull=-0.30, thin_system=True, volume_change=-0.4))[0]
    assert doubt.startswith("implausibly low (-0.30 eV/atom): check")
    assert "few compounds" in doubt
    assert "volume changed" in doubt
    assert "no known decomposition" in decomposition(_judged(e_above_hull=-0.3))[0]


def test_doubts_need_a_hull():
    with pytest.raises(ConfigError, match="hull"):
        suspicions(_judged())
