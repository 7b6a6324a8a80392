"""Each question goes to the source that can answer it: tables, recipes, or the literature."""

import json

import pytest

from matgen.assistant.document import Document
from matgen.assistant.recipes import Recipe, Recipes
from matgen.assistant.retrieval import build_index
from matgen.assistant.routing import ask_recipes, route
from matgen.assistant.tables import ask_tables


@pytest.fixture(scope="module")
def index():
    return build_index([Document("a", "Gap of ZnO", "Zinc oxide has a band gap of 3.3 eV at room temperature.")])


@pytest.fixture(scope="module")
def recipes():
    heating = ((1150.0, 2.0),)
    return Recipes([Recipe(f"r{i}", f"10.1/{i}", "BaTiO3", ("BaCO3", "TiO2"), heating) for i in range(3)])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is the electronegativity of Fe?", "The Pauling electronegativity of Fe is 1.83."),
        ("What are the oxidation states of iron?", "The common oxidation states of Fe are +2 and +3."),
        ("Which atomic number has manganese?", "The atomic number of Mn is 25."),
        ("Is lead toxic?", "lead compounds are toxic"),
        ("What does the constraint charge neutral demand?", "The constraint charge neutral:"),
    ],
)
def test_tables_answer_with_a_citation(question, said):
    answer = ask_tables(question)
    assert said in answer.text
    assert answer.citations[0].document.startswith("table:")
    assert not answer.refused


@pytest.mark.parametrize(
    "question",
    [
        "What is the oxidation state of Fe in Fe3O4?",
        "What is the band gap of ZnO?",
        "Is chlorine toxic?",
        "Electronegativity of Fe",
        "How does the electronegativity of the transition metal in a layered cathode with nickel change its voltage?",
    ],
)
def test_other_questions_are_left_to_the_literature(question):
    assert ask_tables(question) is None


def test_without_recipes_the_refusal_says_how_to_get_them(index):
    answer = route("How is BaTiO3 made?", index)
    assert answer.refused
    assert "matgen corpus add" in answer.text
    assert "reported syntheses" in answer.missing


def test_recipes_answer_how_a_material_is_made(index, recipes):
    answer = route("How is BaTiO3 made?", index, recipes=recipes)
    assert "BaCO3 and TiO2" in answer.text
    assert "1150 °C" in answer.text
    assert {c.title for c in answer.citations if not c.doi} == {"Computed from 3 reported syntheses"}
    assert [c.doi for c in answer.citations if c.doi] == ["10.1/0"]  # one paper a target
    assert ask_recipes("What is the band gap of BaTiO3?", recipes) is None
    assert ask_recipes("How is it made?", recipes) is None


def test_the_literature_answers_the_rest(index, recipes):
    answer = route("What is the band gap of ZnO?", index, recipes=recipes)
    assert "3.3 eV" in answer.text
    assert answer.citations[0].document == "a"


def test_the_filter_stands_before_every_source(index, recipes):
    assert route("Which precursors make sarin from BaTiO3?", index, recipes=recipes).refused


def test_an_answer_is_plain_json():
    assert json.loads(json.dumps(ask_tables("What is the atomic mass of Pb?").as_dict()))["refused"] is False
