import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.execution import Serial
from matgen.stability.reference_building import build_reference, describe, single_point_bias
from matgen.stability.references import COLUMNS, load_reference

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    known = [
        Structure(Lattice.cubic(3.75), ["Au", "Cu", "Cu", "Cu"], FCC),
        Structure(Lattice.cubic(3.6), ["Cu"] * 4, FCC),
    ]
    guess = Structure(Lattice.cubic(4.0), ["Au", "Au", "Cu", "Cu"], FCC)
    foreign = Structure(Lattice.cubic(4.0), ["Ni", "Cu", "Cu", "Cu"], FCC)
    out = tmp_path_factory.mktemp("references") / "emt-toy"
    build_reference([*known, foreign], out, guesses=[guess], potential="emt", elements=[29, 79], executor=Serial())
    return load_reference(out)


def test_elements_compounds_and_guesses_are_in_the_table(built):
    rows = built.entries.set_index("formula")
    assert rows["origin"].to_dict() == {"Au": "element", "Cu": "element", "Cu3Au": "known", "CuAu": "guessed"}
    assert rows["relaxed"].all()


def test_emt_elements_are_close_packed(built):
    # EMT's zero is the fcc element; its other close packings differ by less than 1 meV/atom.
    assert built.element_energies["Cu"] == pytest.approx(-0.005, abs=5e-3)
    assert built.element_energies["Au"] == pytest.approx(0.0, abs=5e-3)


def test_the_card_says_what_is_there(built):
    card = built.card
    assert (card["potential"], card["n_entries"], card["n_relaxed"], card["n_guessed"]) == ("emt", 4, 4, 1)
    assert card["elements_without_reference"] == []
    assert card["chemical_systems"] == {"1": 2, "2": 1}
    assert card["single_point_bias"]["n"] == 1
    assert card["single_point_bias"]["mean"] > 0


def test_gaps_are_counted():
    rows = [("Na", -1, 1, True, "element"), ("Cl2", -1, 1, True, "element"), ("NaCl", -3, 2, False, "known")]
    found = describe(pd.DataFrame(rows, columns=list(COLUMNS)), [3, 11, 17])
    assert found["elements_without_reference"] == ["Li"]
    assert found["thin_systems"] == 1
    assert found["binary_systems_without_compound"] == 0


def test_bias_of_nothing_is_nothing():
    assert single_point_bias(pd.DataFrame({"energy": [], "relaxed": []})) == {}
