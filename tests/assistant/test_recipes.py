"""Precursors and conditions by analogy."""

import gzip
import json

import pytest

from matgen.assistant.corpus import Corpus, recipe_files
from matgen.assistant.knowledge import add_to_corpus, open_recipes
from matgen.assistant.recipes import Recipe, Recipes, composition, conditions, from_record, plain_formula, sources
from matgen.errors import DataError


@pytest.fixture
def recipes():
    known = [
        ("BaTiO3", ("BaCO3", "TiO2")),
        ("BaZrO3", ("BaCO3", "ZrO2")),
        ("SrTiO3", ("SrCO3", "TiO2")),
        ("SrZrO3", ("SrCO3", "ZrO2")),
        ("Li2S", ("Li", "S")),
        ("BaS", ("BaS",)),
    ]
    heated = ((1200.0, 12.0),)
    return Recipes([Recipe(f"r{i}", "10.1/x", target, used, heated) for i, (target, used) in enumerate(known)])


def test_an_unseen_target_gets_the_precursors_of_its_relatives(recipes):
    best = recipes.suggest("Ba0.5Sr0.5TiO3")[0]
    assert best.precursors == ("BaCO3", "SrCO3", "TiO2")
    assert best.analogues[0].target in {"BaTiO3", "SrTiO3"}


def test_analogues_name_a_composition_once_in_its_plainest_form():
    used = ("BaCO3", "TiO2")
    known = [Recipe(str(i), "", t, used) for i, t in enumerate(["Ba0.5Ti0.5O1.5", "BaTiO3", "Ba2Ti2O6", "SrTiO3"])]
    best = Recipes(known).suggest("BaTiO3")[0]
    assert [r.target for r in best.analogues] == ["BaTiO3", "SrTiO3"]


def test_an_element_without_supplier_gives_nothing(recipes):
    assert recipes.suggest("UO2") == []


def test_a_word_is_refused(recipes):
    with pytest.raises(DataError, match="no formula"):
        recipes.suggest("stuff?")


def test_conditions_take_the_hottest_step_of_each_recipe():
    a = Recipe("a", "", "BaTiO3", (), ((600.0, 2.0), (1100.0, 6.0)))
    b = Recipe("b", "", "BaTiO3", (), ((1300.0, 10.0),))
    assert conditions([a, b]) == (1200.0, 8.0)
    assert conditions([Recipe("c", "", "BaTiO3", ())]) == (None, None)


def test_units_of_a_record():
    heating = {
        "type": "HeatingOperation",
        "temperature": [{"values": [1273.15], "units": "K"}],
        "time": [{"values": [90], "units": "min"}],
    }
    row = {"id": "x", "target": "LaxO", "targets": ["La2O3"], "precursors": ["La(NO3)3·6H2O"], "operations": [heating]}
    recipe = from_record(row)
    assert (recipe.target, recipe.precursors) == ("La2O3", ("La(NO3)3",))
    assert recipe.heating[0] == pytest.approx((1000.0, 1.5))


def test_compositions():
    assert composition("Ba0.5Sr0.5TiO3") == {"Ba": 0.5, "Sr": 0.5, "Ti": 1.0, "O": 3.0}
    assert composition("La1-xSrxO3") is None
    assert sources({"Ba": 1, "O": 1}) == {"Ba"}
    assert plain_formula("Fe(NO3)3·9H2O") == "Fe(NO3)3"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Iron molybdate Fe2(MoO4)3", "Fe2(MoO4)3"),
        ("Sr2P2O7:Eu2+", "Sr2P2O7"),
        ("β-Ca3(PO4)2", "Ca3(PO4)2"),
        ("Pb(Mg1/2W1/2)O3", "Pb(Mg0.5W0.5)O3"),
    ],
)
def test_targets_are_cleaned(text, plain):
    assert plain_formula(text) == plain
    assert composition(text)


def test_mixtures_and_words_have_no_composition():
    assert composition("SiO2-Li2O-K2O") is None
    assert composition("glass") is None


def test_no_suggestion_brings_a_foreign_metal_or_oxides_into_a_sulfide():
    known = [
        ("BaTiO3", ("BaCO3", "TiO2")),
        ("BaTiO3", ("BaTi4Pb",)),
        ("BaZrS3", ("BaS", "ZrS2")),
        ("SrTiS3", ("SrS", "TiS2")),
    ]
    recipes = Recipes([Recipe(f"r{i}", "10.1/x", target, used) for i, (target, used) in enumerate(known)])
    assert recipes.suggest("BaTiS3")[0].precursors == ("BaS", "TiS2")
    assert not any("BaTi4Pb" in s.precursors for s in recipes.suggest("BaTiO3"))
    assert recipes.suggest("BaTiO3")[0].analogues[0].target == "BaTiO3"


ROW = {"id": "1", "doi": "10.1/x", "target": "BaTiO3", "precursors": ["BaCO3", "TiO2"]}


def test_a_corpus_keeps_recipes_and_gives_them_to_whoever_names_no_file(tmp_path):
    corpus, file = tmp_path / "corpus", tmp_path / "syntheses.jsonl.gz"
    assert open_recipes(None, corpus) is None
    with gzip.open(file, "wt") as out:
        out.write("\n".join(json.dumps(ROW | {"id": str(i)}) for i in range(3)))
    (tmp_path / "note.md").write_text("# Titanates\n\nBarium titanate is ferroelectric below 393 K.")
    added = add_to_corpus([tmp_path / "note.md", file], corpus)
    assert (added.recipes, added.refused, added.files) == (3, {}, 2)
    assert add_to_corpus([file], corpus).unchanged == 1
    file.unlink()  # the corpus has its own copy
    assert open_recipes(None, corpus).suggest("BaTiO3")[0].precursors == ("BaCO3", "TiO2")
    assert Corpus(corpus).remove(str(file)) == 3
    assert open_recipes(None, corpus) is None
    assert any("ferroelectric" in d.text for d in Corpus(corpus).documents)


def test_a_changed_file_of_recipes_replaces_its_old_copy_and_a_broken_one_is_refused(tmp_path):
    corpus, file = Corpus(tmp_path / "corpus"), tmp_path / "syntheses.jsonl"
    file.write_text(json.dumps(ROW))
    corpus.add([file])
    first = recipe_files(corpus.folder)
    file.write_text(json.dumps(ROW | {"target": "SrTiO3", "precursors": ["SrCO3", "TiO2"]}))
    corpus.add([file])
    second = recipe_files(corpus.folder)
    assert len(first) == len(second) == 1
    assert first != second
    file.write_text(json.dumps(ROW) + "\n{")
    assert "no readable recipes" in next(iter(corpus.add([file]).refused.values()))
    assert recipe_files(corpus.folder) == second
    file.write_text(json.dumps({"title": "No longer recipes", "text": "Barium titanate is ferroelectric below 393 K."}))
    assert corpus.add([file]).documents == 1
    assert recipe_files(corpus.folder) == []


def test_a_record_of_the_text_mined_collection_is_read_as_published():
    value = {"min_value": 1100.0, "max_value": 1100.0, "values": [1100.0], "units": "C"}
    heated = {"heating_temperature": [value], "heating_time": [value | {"values": [240.0], "units": "min"}]}
    row = {
        "doi": "10.1/y",
        "targets_string": ["BaTiO3"],
        "target": {"material_string": "Ba1-xSrxTiO3", "material_formula": "Ba1-xSrxTiO3"},
        "precursors": [{"material_formula": "TiO2"}, {"material_formula": "BaCO3"}],
        "operations": [
            {"type": "HeatingOperation", "token": "calcined", "conditions": heated},
            {"type": "MixingOperation", "token": "mixed", "conditions": {"heating_temperature": None}},
        ],
    }
    assert from_record(row) == Recipe("10.1/y", "10.1/y", "BaTiO3", ("BaCO3", "TiO2"), ((1100.0, 4.0),))


def test_recipes_without_a_readable_target_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW | {"target": "Ba1-xSrxTiO3"}))
    with pytest.raises(DataError, match="fixed amounts"):
        Recipes.read(tmp_path / "a.jsonl")
