import random

import numpy as np
import pytest
from broken_inputs import CIF, NACL, PEROVSKITE, POSCAR, _frame
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.data.gate import judge
from matgen.data.plausibility import Limits, average_minimum_distances, check_cell, check_distances, neighbours
from matgen.data.structures import unpack
from matgen.errors import DataError

JUNK = ["nan", "inf", "-", "?", ".", "'", '"', "\n", "1e99", "-1e9", ";", "loop_", "\x00", "0", "(", "é", " ", "data_x"]


def judged(content, kind="cif", formula=None):
    return judge([{"format": kind, "content": content, "formula": formula}], Limits(), 5.0)[0]


def test_rock_salt_passes_with_its_numbers():
    row = judged(CIF, formula="NaCl")
    assert (row["formula"], row["n_atoms"], row["space_group"], row["notes"]) == ("NaCl", 8, 225, [])
    assert row["volume_per_atom"] == pytest.approx(5.64**3 / 8)
    assert row["density"] == pytest.approx(2.163, abs=2e-3)
    assert unpack({key: [row[key]] for key in ("numbers", "frac", "cell")})[0].matches(NACL)


def test_a_conventional_cif_with_symmetry_is_filled_up():
    row = judged(PEROVSKITE.to(fmt="cif", symprec=0.01))
    assert (row["formula"], row["n_atoms"], row["space_group"]) == ("SrTiO3", 5, 221)


def test_sodium_nitride_is_a_formula_and_a_number_is_not():
    assert judged("NaN", "formula")["formula"] == "NaN"
    assert judged("nan", "formula")["reason"].startswith("no formula")


def test_a_skew_cell_of_a_sound_crystal_is_reduced_and_a_collapsed_one_refused():
    skew = Structure(Lattice(np.array([[1, 0, 0], [8, 1, 0], [0, 0, 1]]) * 5.64), NACL.species, NACL.frac_coords)
    skew = Structure(skew.lattice, NACL.species, skew.lattice.get_fractional_coords(NACL.cart_coords))
    row = judged(skew.to(fmt="cif"))
    assert "skew cell replaced by its reduced cell" in row["notes"]
    (repaired,) = unpack({key: [row[key]] for key in ("numbers", "frac", "cell")})
    assert repaired.matches(NACL)
    assert all(60 <= angle <= 120 for angle in repaired.lattice.angles)
    collapsed = Structure(Lattice.from_parameters(4, 4, 4, 5, 5, 5), ["Na"], [[0, 0, 0]])
    assert judged(collapsed.to(fmt="cif"))["reason"].startswith("absurd volume")


def test_images_of_one_atom_count_as_neighbours():
    chain = Structure(Lattice.orthorhombic(0.8, 8, 8), ["Na"], [[0, 0, 0]])
    with pytest.raises(DataError, match=r"Na and Na at 0\.80 Å"):
        check_distances(chain.atomic_numbers, neighbours(chain, 12), Limits())


def test_shortest_distances_agree_with_pymatgen():
    pairs = neighbours(NACL, 12)
    assert pairs.nearest[:, :6] == pytest.approx(2.82)
    assert pairs.nearest[:, 6:] == pytest.approx(2.82 * 2**0.5)
    length = (NACL.volume / 8) ** (1 / 3)
    assert average_minimum_distances(NACL, pairs)[0] == pytest.approx(2.82 / length)


@pytest.mark.parametrize("symbol", ["H", "Cs"])
def test_the_limit_of_distance_follows_the_size_of_the_atoms(symbol):
    pair = Structure(Lattice.cubic(6), [symbol, symbol], [[0, 0, 0], [0.74 / 6, 0, 0]])
    pairs = neighbours(pair, 12)
    if symbol == "H":
        check_distances(pair.atomic_numbers, pairs, Limits())
    else:
        with pytest.raises(DataError, match="too close"):
            check_distances(pair.atomic_numbers, pairs, Limits())


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_fingerprint_knows_neither_cell_nor_origin_nor_order(seed):
    rng = np.random.default_rng(seed)
    moved = PEROVSKITE.copy()
    moved.translate_sites(range(5), rng.random(3))
    moved.make_supercell(rng.permutation([1, 1, 2]))
    moved = Structure.from_sites([moved[i] for i in rng.permutation(len(moved))])
    one, two = (np.array(average_minimum_distances(s, neighbours(s, 12))) for s in (PEROVSKITE, moved))
    assert one == pytest.approx(two, abs=1e-8)


@given(st.floats(1e-3, 0.1), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_moving_atoms_a_little_changes_the_fingerprint_a_little(size, seed):
    rng = np.random.default_rng(seed)
    rattled = NACL.copy()
    for i in range(len(rattled)):
        step = rng.normal(size=3)
        rattled.translate_sites([i], size * step / np.linalg.norm(step), frac_coords=False)
    one, two = (np.array(average_minimum_distances(s, neighbours(s, 12))) for s in (NACL, rattled))
    assert np.abs(one - two).max() <= 2 * size / (NACL.volume / 8) ** (1 / 3) + 1e-9


@pytest.mark.parametrize("spacing", [0.4, 700.0, 1e6])
def test_absurd_edges_are_refused_before_neighbours_are_sought(spacing):
    with pytest.raises(DataError, match="absurd"):
        check_cell(Structure(Lattice.orthorhombic(spacing, 5, 5), ["Na"], [[0, 0, 0]]), Limits())


@pytest.mark.parametrize(("kind", "text"), [("cif", CIF), ("poscar", POSCAR), ("extxyz", _frame())])
def test_mutated_files_are_read_or_refused_and_what_is_read_is_finite(kind, text):
    draw = random.Random(7)
    for _ in range(150):
        changed = text
        for _ in range(draw.choice([1, 1, 2, 4])):
            place = draw.randrange(len(changed) + 1)
            end = min(len(changed), place + draw.choice([0, 1, 3, 30]))
            changed = changed[:place] + draw.choice(["", *JUNK]) + changed[end:]
        row = judged(changed, kind)
        if "reason" in row:
            assert row["stage"] in {"read", "composition", "structure"}
            assert len(row["reason"]) > 5
        else:
            assert np.isfinite(row["cell"]).all()
            assert np.isfinite(row["frac"]).all()
            assert 3 <= row["volume_per_atom"] <= 300


def test_a_row_that_takes_too_long_is_refused():
    many = NACL.make_supercell([5, 5, 5], in_place=False).to(fmt="cif")
    row = judge([{"format": "cif", "content": many, "formula": None}], Limits(atoms=2000), 0.05)[0]
    assert "longer than 0.05 s" in row["reason"]


def test_the_poscar_that_names_another_element_on_a_line_is_refused():
    row = judged(POSCAR.replace("0.0000000000000000 Na", "0.0000000000000000 K", 1), "poscar")
    assert "by its place but K by its line" in row["reason"]


def test_oxidation_states_are_left_out_with_a_note():
    charged = NACL.copy()
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    row = judged(charged.to(fmt="cif"))
    assert row["formula"] == "NaCl"
    assert row["notes"] == ["oxidation states left out"]


@pytest.mark.parametrize(
    ("symbol", "place", "verdict"),
    [
        ("F d -3 m :1", "0 0 0", 8),
        ("F d -3 m", "0 0 0", 8),
        ("F d -3 m :2", "0.125 0.125 0.125", "origin at choice 2"),
        ("F d -3 m", "0.125 0.125 0.125", "its sites make 16"),
    ],
)
def test_a_symbol_without_operations_and_its_origin(symbol, place, verdict):
    names = ["label", "type_symbol", "fract_x", "fract_y", "fract_z"]
    lines = ["data_Si", "_chemical_formula_sum Si1", "_cell_formula_units_Z 8"]
    lines += [f"_cell_length_{axis} 5.431" for axis in "abc"]
    lines += [f"_cell_angle_{angle} 90" for angle in ("alpha", "beta", "gamma")]
    lines += [f"_symmetry_space_group_name_H-M '{symbol}'", "_symmetry_Int_Tables_number 227"]
    lines += ["loop_", *(f"_atom_site_{name}" for name in names), f"Si1 Si {place}"]
    row = judged("\n".join(lines))
    if isinstance(verdict, int):
        assert row["n_atoms"] == verdict
        assert any("origin choice 1 assumed" in note for note in row["notes"]) == (":" not in symbol)
    else:
        assert verdict in row["reason"]
