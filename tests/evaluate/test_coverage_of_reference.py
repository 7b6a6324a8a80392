"""Coverage: everything by itself, nothing by what is far away, and invalid structures count against precision."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from matgen.evaluate.coverage import alike, coverage
from matgen.evaluate.novelty import describe_all
from matgen.execution import Serial


@pytest.fixture(scope="module")
def described():
    def rock_salt(*elements, edge):
        return Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), list(elements), [[0, 0, 0], [0.5, 0.5, 0.5]])

    zincblende = Structure.from_spacegroup("F-43m", Lattice.cubic(5.4), ["Na", "Cl"], [[0, 0, 0], [0.25] * 3])
    structures = [rock_salt("Na", "Cl", edge=5.64), rock_salt("Mg", "O", edge=4.2), zincblende]
    return describe_all([*structures, rock_salt("Na", "Cl", edge=5.9), rock_salt("K", "Cl", edge=6.3)], Serial())


def test_a_set_covers_itself(described):
    found = coverage(described, described, len(described))
    assert found["coverage_recall"]["share"] == found["coverage_precision"]["share"] == 1.0


def test_shape_and_composition_must_both_agree(described):
    salt, magnesia, zincblende, larger, potassium = described
    assert alike([larger], [salt]).all()  # uniform strain changes neither
    assert alike([potassium], [salt]).all()  # the next element of the column
    assert not alike([salt], [magnesia, zincblende]).any()  # other chemistry, other geometry


def test_invalid_structures_count_against_precision(described):
    found = coverage(described[:1], described[:2], 2)
    assert found["coverage_precision"] == {"share": 0.5, "interval": found["coverage_precision"]["interval"], "n": 2}
    assert found["coverage_recall"]["share"] == 0.5


def test_nothing_is_covered_by_nothing(described):
    found = coverage([], described, 3)
    assert found["coverage_recall"]["share"] == found["coverage_precision"]["share"] == 0.0
