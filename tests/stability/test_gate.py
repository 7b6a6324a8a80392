import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matgen.stability.gate import Gate

GATE = Gate(frozenset(range(1, 95)))
CUBE = Lattice.cubic(4.0)


def _reason(structure, gate=GATE):
    return gate.reasons([structure])[0]


PATHOLOGICAL = {
    "overlap": (Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.0025, 0, 0]]), "closer|apart|distance"),
    "skewed": (Structure(Lattice.from_parameters(4, 4, 4, 5, 5, 5), ["Na"], [[0, 0, 0]]), "Å³|high|closer|apart"),
    "void": (Structure(Lattice.cubic(60), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]]), "volume per atom"),
    "not finite": (Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [np.nan, 0, 0]]), "finite"),
    "lone atom": (Structure(Lattice.cubic(6.6), ["Cs"], [[0, 0, 0]]), "no neighbour"),
    "flat cell": (Structure(Lattice.from_parameters(30, 30, 30, 90, 90, 1), ["Cs"] * 4, np.eye(4, 3) / 2), "high"),
    "unknown element": (Structure(CUBE, ["Cm"], [[0, 0, 0]]), "does not know Cm"),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_pathological_structures_are_stopped_with_a_reason(name):
    structure, words = PATHOLOGICAL[name]
    reason = _reason(structure)
    assert reason is not None
    assert any(word in reason for word in words.split("|")), reason


def test_too_many_atoms_are_stopped():
    structure = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]) * (2, 2, 2)
    assert "16 atoms" in _reason(structure, Gate(GATE.elements, max_atoms=15))


def test_a_slab_is_stopped():
    slab = Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Na"], [[0, 0, 0]])
    assert "periodic" in _reason(slab)


def test_ordinary_crystals_pass(rocksalt, perovskite, diamond):
    assert GATE.reasons([rocksalt, perovskite, diamond]) == [None, None, None]


@pytest.mark.shared
def test_known_crystals_pass(shared):
    import pandas as pd

    table = pd.read_csv(shared / "mp_20" / "val.csv.gz", nrows=120)
    structures = [Structure.from_str(cif, fmt="cif") for cif in table["cif"]]
    refused = [reason for reason in GATE.reasons(structures) if reason is not None]
    assert len(refused) <= 1, refused
