"""Nearly symmetric crystals become symmetric, within the tolerance and no further."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.candidates import Candidates
from matgen.data.symmetrisation import symmetrise, symmetrise_candidates
from matgen.data.symmetry import space_group_number
from matgen.errors import ConfigError

PEROVSKITE = Structure(
    Lattice.cubic(3.9),
    ["Sr", "Ti", "O", "O", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
)


def rattled(amount: float) -> Structure:
    rng = np.random.default_rng(0)
    moved = PEROVSKITE.cart_coords + rng.uniform(-amount, amount, (5, 3))
    strain = np.eye(3) + rng.uniform(-1, 1, (3, 3)) * amount / 20
    return Structure(Lattice(PEROVSKITE.lattice.matrix @ strain), PEROVSKITE.species, moved / 3.9)


def test_a_rattled_perovskite_is_cubic_again():
    near = rattled(0.03)
    assert space_group_number(near, 0.01) == 1
    made = symmetrise(near, 0.2)
    assert made.space_group == space_group_number(made.structure, 1e-4) == 221
    assert 0 < made.displacement < 0.1
    assert made.structure.composition == near.composition
    assert made.structure.volume == pytest.approx(near.volume, rel=0.02)


def test_symmetrising_twice_changes_nothing_more():
    once = symmetrise(rattled(0.03), 0.2)
    twice = symmetrise(once.structure, 0.2)
    assert twice.displacement < 1e-6
    assert twice.space_group == 221


def test_what_lies_outside_the_tolerance_stays():
    far = rattled(0.4)
    made = symmetrise(far, 0.02)
    assert made.structure is far
    assert made.displacement == 0
    assert made.space_group == 1


def test_overlapping_atoms_and_foolish_tolerances():
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.001]])
    assert symmetrise(overlap).space_group == 0
    with pytest.raises(ConfigError, match="tolerance"):
        symmetrise(PEROVSKITE, 0)


def test_candidates_tell_tolerance_displacement_and_group():
    table = pd.DataFrame({"id": ["a", "b"], "n_atoms": [5, 40]})
    made = symmetrise_candidates(Candidates(table, [rattled(0.03), PEROVSKITE.make_supercell(2, in_place=False)]), 0.2)
    assert made.table["symmetrise_space_group"].tolist() == [221, 221]
    assert made.table["symmetrise_tolerance"].tolist() == [0.2, 0.2]
    assert made.table["n_atoms"].tolist() == [5, 5]
    assert made.table["symmetrise_displacement"][1] < 1e-6
