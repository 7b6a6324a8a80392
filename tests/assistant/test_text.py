"""Notation, sentences, materials and quantities in text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matgen.assistant.materials import find_materials, parse_formula, systems
from matgen.assistant.notation import readable, sentences
from matgen.assistant.quantities import quantities, unmatched


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (r"Bi$_2$Sr$_2$CaCu$_2$O$_{8+\delta}$", "Bi2Sr2CaCu2O8+δ"),
        (r"700 $^\circ{}$C", "700 °C"),
        (r"$\sim 500$~nm", "~ 500 nm"),
        (r"250-450 {\deg}C", "250-450 °C"),
        (r"10$^{-5}$ cm$^2$", "10^-5 cm^2"),
        ("CsCu_2I_3", "CsCu2I3"),
        ("SrTiO₃ at 10⁻⁵", "SrTiO3 at 10^-5"),
        ("plain text", "plain text"),
    ],
)
def test_readable(raw, plain):
    assert readable(raw) == plain


def test_sentences_keep_abbreviations_and_units_whole():
    text = "It is e.g. good (see Fig. 2). The gap is 3.5 K. J. Smith et al. agree."
    assert [text[a:b] for a, b in sentences(text)] == [
        "It is e.g. good (see Fig. 2).",
        "The gap is 3.5 K.",
        "J. Smith et al. agree.",
    ]


@given(st.text(alphabet="abc .!?\nAB1(", max_size=80))
def test_sentences_are_ordered_disjoint_and_cover_every_visible_character(text):
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    inside = {i for a, b in spans for i in range(a, b)}
    assert {i for i, c in enumerate(text) if not c.isspace()} <= inside


@pytest.mark.parametrize(
    "name", ["SrTiO3", "strontium titanate", "STO", r"SrTiO$_3$", "Sr2Ti2O6", "strontium titanates"]
)
def test_one_material_has_one_formula(name):
    (material,) = find_materials(f"films of {name} on silicon")
    assert (material.formula, material.system) == ("O3SrTi", "O-Sr-Ti")


@pytest.mark.parametrize(
    ("name", "formula"),
    [("gallium nitride", "GaN"), ("lithium niobate", "LiNbO3"), ("magnetite", "Fe3O4"), ("calcium fluoride", "CaF2")],
)
def test_names_follow_charges(name, formula):
    assert find_materials(name)[0].formula == find_materials(formula)[0].formula


def test_variable_amounts_keep_only_the_system():
    (material,) = find_materials(r"La$_{1-x}$Sr$_x$MnO$_{3-\delta}$")
    assert (material.formula, material.system) == ("", "La-Mn-O-Sr")


@pytest.mark.parametrize("word", ["UV", "SOC", "BCS", "Phonon", "NIPS", "In", "POSCAR", "GaNb(", "Xy2"])
def test_words_are_no_formulas(word):
    assert parse_formula(word) is None


def test_chemical_systems():
    assert systems("phases in the Li-P-S system") == ["Li-P-S"]


def test_quantities_with_units_ranges_and_powers():
    text = r"T$_N \approx 132$ K, 105-110 K, 1.37 $\times$ 10$^{-5}$ m, 242 meV, 3,383 atoms in SrTiO3, 2D, [4]"
    found = [(q.value, q.dimension) for q in quantities(text)]
    assert found == [
        (132.0, "temperature"),
        (105.0, "temperature"),
        (110.0, "temperature"),
        (pytest.approx(1.37e-5), "length"),
        (pytest.approx(0.242), "energy"),
        (3383.0, "atoms"),
    ]


def test_numbers_match_with_their_units():
    assert unmatched("a barrier of 0.242 eV", "the barrier is 242 meV") == []
    assert unmatched("a barrier of 0.25 eV", "the barrier is 242 meV") == ["0.25 eV"]
    assert unmatched("heated to 300 °C", "heated to 300 K") == ["300 °C"]
    assert unmatched("three phases", "we found 3 phases and two gaps") == []
