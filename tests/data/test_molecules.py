"""Molecules: known spellings, conformers, and round trips through every carrier of structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.data.molecules import (
    canonical,
    conformers,
    embed,
    inchikey,
    is_flat,
    perceived,
    sketch,
    smiles_of,
)
from matgen.data.structures import (
    from_atoms,
    from_data,
    is_molecule,
    molecule,
    pack,
    read_structures,
    to_atoms,
    to_data,
    unpack,
    unpack_rows,
    write_structures,
)
from matgen.errors import DataError

ASPIRIN, ALANINE = "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O"


def test_spellings_of_one_molecule_are_one():
    assert canonical("C1=CC=CC=C1O") == canonical("Oc1ccccc1") == "Oc1ccccc1"
    assert canonical("[H]C([H])([H])[H]") == "C"
    assert inchikey("OCC") == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"  # ethanol
    assert canonical("C[C@H](N)C(=O)O") != canonical("C[C@@H](N)C(=O)O")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("C(C)(C)(C)(C)C", "valence"),
        ("c1cccc1", "kekulize"),
        ("hello", "no SMILES"),
        ("", "empty"),
        ("C" * 3000, "many"),
    ],
)
def test_what_is_no_molecule_is_refused_with_the_reason(text, words):
    with pytest.raises(DataError, match=f"(?i){words}"):
        canonical(text)


def test_a_conformer_has_the_bonds_it_was_made_of():
    structure = embed(ASPIRIN, seed=3)
    assert is_molecule(structure)
    assert len(structure) == 21
    assert not is_flat(structure)
    assert structure.properties["smiles"] == canonical(ASPIRIN)
    bare = molecule(structure.atomic_numbers, structure.cart_coords)
    assert smiles_of(bare) == canonical(ASPIRIN)


def test_stereochemistry_is_read_off_coordinates():
    structure = embed(ALANINE, seed=1)
    assert smiles_of(molecule(structure.atomic_numbers, structure.cart_coords)) == canonical(ALANINE)
    mirrored = molecule(structure.atomic_numbers, structure.cart_coords * [1, 1, -1])
    assert smiles_of(mirrored) == canonical("C[C@@H](N)C(=O)O")


def test_conformers_repeat_by_seed_and_come_in_order():
    first, again = conformers("CCCCO", 3, seed=5), conformers("CCCCO", 3, seed=5)
    assert all(np.allclose(a.cart_coords, b.cart_coords) for a, b in zip(first, again, strict=True))
    assert not np.allclose(embed("CCCCO", 1).cart_coords, embed("CCCCO", 2).cart_coords)


def test_a_drawing_is_flat_and_names_its_molecule():
    drawn = sketch(ASPIRIN)
    assert is_flat(drawn)
    assert drawn.composition.hill_formula == "C9 H8 O4"
    assert smiles_of(drawn) == canonical(ASPIRIN)


def test_atoms_that_are_no_molecule_are_refused():
    with pytest.raises(DataError, match="pieces"):
        perceived(molecule([6, 6], [[0, 0, 0], [9, 0, 0]]))
    with pytest.raises(DataError, match="no molecule"):
        perceived(molecule([6, 1, 1, 1], [[0, 0, 0], [1.09, 0, 0], [0, 1.09, 0], [0, 0, 1.09]]), charge=5)


@pytest.mark.parametrize("suffix", [".parquet", ".extxyz", ".db"])
def test_files_keep_molecules_without_axes_and_their_bonds(tmp_path, suffix):
    structures = [embed("CCO", 1), embed("CC(=O)[O-]", 2)]
    table = pd.DataFrame({"id": ["a", "b"], "smiles": [s.properties["smiles"] for s in structures]})
    write_structures(tmp_path / f"set{suffix}", table, structures)
    found, back = read_structures(tmp_path / f"set{suffix}")
    assert list(found["smiles"]) == ["CCO", "CC(=O)[O-]"]
    for one, other in zip(structures, back, strict=True):
        assert is_molecule(other)
        assert np.allclose(one.cart_coords, other.cart_coords, atol=1e-6)
        assert other.properties["smiles"] == one.properties["smiles"]


def test_crystals_and_molecules_share_one_table():
    crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    water = embed("O", 1)
    packed = pack([crystal, water])
    assert packed["cell"][1] == [0.0] * 9
    rows = pd.DataFrame(packed).to_dict("records")
    for back in (unpack(packed), unpack_rows(rows)):
        assert back[0] == crystal
        assert back[0].lattice.pbc == (True, True, True)
        assert back[1].properties["smiles"] == "O"
    assert "smiles" not in pack([crystal])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-30, 30, width=32)] * 3), min_size=1, max_size=8))
def test_no_carrier_moves_an_atom_of_a_molecule(places):
    one = molecule([6] * len(places), places)
    for back in (unpack(pack([one]))[0], from_data(to_data(one)), from_atoms(to_atoms(one))):
        assert is_molecule(back)
        assert np.allclose(back.cart_coords, one.cart_coords, atol=1e-9)
