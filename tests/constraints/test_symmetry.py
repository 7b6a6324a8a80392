from __future__ import annotations

import numpy as np
import pytest
from crystals import crystals
from hypothesis import given, settings
from pymatgen.core import Lattice, Structure

from matgen.constraints.symmetry import CrystalSystem, SpaceGroup, crystal_system, space_group_number, symbol


def test_known_answers(rocksalt, perovskite, diamond):
    assert [space_group_number(s) for s in (rocksalt, perovskite, diamond)] == [225, 221, 227]
    assert symbol(221) == "Pm-3m"
    assert [crystal_system(n) for n in (1, 15, 74, 142, 146, 194, 195)] == [
        "triclinic",
        "monoclinic",
        "orthorhombic",
        "tetragonal",
        "trigonal",
        "hexagonal",
        "cubic",
    ]


def test_tolerance_decides_about_distorted_crystals(perovskite):
    perovskite.translate_sites([2], [0, 0, 0.01], frac_coords=True)
    assert space_group_number(perovskite, symprec=0.1) == 221
    assert space_group_number(perovskite, symprec=0.001) < 221


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_random_crystals_get_a_number_or_none(structure):
    number = space_group_number(structure)
    assert number is None or 1 <= number <= 230


def test_overlap_and_broken_numbers_give_none():
    overlap = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    broken = Structure(Lattice.cubic(4), ["Na"], [[np.inf, 0, 0]])
    assert space_group_number(overlap) is None
    assert space_group_number(broken) is None
    assert SpaceGroup((1,)).check([overlap]).reasons[0].startswith("no space group could be found")


def test_reasons(rocksalt):
    assert SpaceGroup((221,)).check([rocksalt]).reasons == (
        "the space group is Fm-3m (225) at 0.1 Å, wanted Pm-3m (221)",
    )
    assert CrystalSystem(("hexagonal",)).check([rocksalt]).reasons == (
        "the crystal is cubic (Fm-3m at 0.1 Å), wanted hexagonal",
    )


@pytest.mark.shared
def test_agrees_with_spglib_on_real_crystals(shared):
    import pandas as pd
    import spglib

    from matgen.data.structures import parse

    cifs = pd.read_csv(shared / "mp_20/val.csv.gz", usecols=["cif"], nrows=150).cif
    same = 0
    for text in cifs:
        s = parse(text, "cif")
        theirs = spglib.get_symmetry_dataset((s.lattice.matrix, s.frac_coords, s.atomic_numbers), symprec=0.01).number
        same += space_group_number(s, symprec=0.01) == theirs
    assert same >= 0.98 * len(cifs)
