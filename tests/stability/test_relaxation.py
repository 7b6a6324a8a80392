import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.data.structures import from_atoms
from matgen.errors import ConfigError, MatgenError
from matgen.execution import Pool, Serial
from matgen.stability.relaxation import displacement, relax, single_point

CUBE = Lattice.cubic(4.0)


def _candidates(*structures):
    return Candidates(pd.DataFrame({"id": [f"c{i}" for i in range(len(structures))]}), list(structures))


def _metal(symbol, factor=1.03):
    atoms = bulk(symbol, cubic=True)
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return from_atoms(atoms)


@pytest.fixture
def mixed():
    overlap = Structure(CUBE, ["Cu", "Cu"], [[0, 0, 0], [0.002, 0, 0]])
    skewed = Structure(Lattice.from_parameters(4, 4, 4, 5, 5, 5), ["Cu"], [[0, 0, 0]])
    void = Structure(Lattice.cubic(60), ["Cu", "Cu"], [[0, 0, 0], [0.05, 0, 0]])
    broken = Structure(CUBE, ["Cu", "Cu"], [[0, 0, 0], [np.nan, 0.5, 0.5]])
    foreign = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return _candidates(_metal("Cu"), overlap, skewed, void, broken, foreign, _metal("Au"))


def test_good_ones_relax_and_bad_ones_are_rejected_with_a_reason(mixed):
    done = relax(mixed, "emt", executor=Serial())
    assert list(done.table["id"]) == ["c0", "c6"]
    assert list(done.table["relax_status"]) == ["ok", "ok"]
    assert list(done.rejected["id"]) == ["c1", "c2", "c3", "c4", "c5"]
    assert set(done.rejected["stage"]) == {"relax"}
    assert done.rejected["reason"].str.startswith("rejected: ").all()
    assert (done.table["energy_scale"] == "emt/none").all()
    assert (done.table["relax_fmax"] < 0.05).all()
    assert (done.table["volume_change"] < -0.05).all()
    assert done.structures[0].volume == pytest.approx(3.59**3, rel=0.01)


def test_a_pool_gives_what_one_process_gives(mixed):
    with Pool(workers=1) as pool:
        pooled = relax(mixed, "emt", executor=pool)
    serial = relax(mixed, "emt", executor=Serial())
    pd.testing.assert_frame_equal(pooled.table, serial.table)
    pd.testing.assert_frame_equal(pooled.rejected, serial.rejected)


def test_unconverged_structures_stay_with_that_status():
    done = relax(_candidates(_metal("Cu")), "emt", max_steps=1, executor=Serial())
    assert list(done.table["relax_status"]) == ["unconverged"]
    assert done.table["relax_steps"].tolist() == [1]


def test_a_structure_that_collapses_has_exploded():
    # Lennard-Jones argon whose well is at 1.2 Å: far closer than argon atoms may come.
    potential = {"name": "lennard-jones", "sigma": 0.4, "epsilon": 50.0, "cutoff": 4.0}
    start = Structure(Lattice.cubic(2.5), ["Ar"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]])
    done = relax(_candidates(start), potential, executor=Serial())
    assert len(done) == 0
    assert done.rejected["reason"].iloc[0].startswith("exploded: ")


def test_both_methods_find_the_same_minimum():
    start = _candidates(from_atoms(bulk("Cu", a=3.7)), from_atoms(bulk("Ag", a=4.0)))
    ours = relax(start, "emt", fmax=0.01, executor=Serial())
    plain = relax(start, "emt", fmax=0.01, method="ase", executor=Serial())
    assert ours.table["energy"].to_numpy() == pytest.approx(plain.table["energy"].to_numpy(), abs=3e-4)


def test_single_points_leave_structures_alone_and_share_the_scale():
    start = _candidates(_metal("Cu"), _metal("Ag"))
    scored = single_point(start, "emt", executor=Serial())
    assert scored.structures == start.structures
    relaxed = relax(scored, "emt", executor=Serial())
    assert (relaxed.table["energy"] < relaxed.table["energy_unrelaxed"]).all()


def test_another_potential_after_the_first_is_refused():
    scored = single_point(_candidates(_metal("Cu")), "emt", executor=Serial())
    with pytest.raises(ConfigError, match="another scale"):
        relax(scored, "lennard-jones", executor=Serial())


def test_columns_are_not_overwritten():
    once = relax(_candidates(_metal("Cu")), "emt", executor=Serial())
    with pytest.raises(MatgenError, match="already have"):
        relax(once, "emt", executor=Serial())


def test_no_candidates_give_no_candidates():
    empty = _candidates()
    done = relax(empty, "emt", executor=Serial())
    assert len(done) == 0
    assert {"energy", "relax_status", "energy_scale"} <= set(done.table)


def test_unknown_names_are_refused_before_any_work():
    with pytest.raises(ConfigError, match="chgnet"):
        relax(_candidates(_metal("Cu")), "chgnett", executor=Serial())
    with pytest.raises(ConfigError, match="batched"):
        relax(_candidates(_metal("Cu")), "emt", method="batch", executor=Serial())


def test_displacement_ignores_shifts_wraps_and_strain(rocksalt):
    moved = rocksalt.copy()
    moved.translate_sites([0, 1], [0.3, 0.9, 0.2])
    stretched = Structure(Lattice(moved.lattice.matrix * 1.1), moved.species, moved.frac_coords)
    assert displacement(rocksalt, stretched) == pytest.approx(0.0, abs=1e-9)


def test_displacement_of_one_of_two_atoms():
    before = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.95]])
    after = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.05]])
    # Moved by 0.4 Å, of which half is a common shift.
    assert displacement(before, after) == pytest.approx(0.2)
