"""Records of a run: typed questions to them, and explanations in which every sentence is cited."""

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matgen.assistant.attribution import changes
from matgen.assistant.constraint_words import constraints_of, verdict_sentences
from matgen.assistant.document import Document
from matgen.assistant.explanation import BACKGROUND, _nearest, background, explain
from matgen.assistant.recipes import Recipe, Recipes
from matgen.assistant.records import Condition, Query, ask_run, parse_query
from matgen.assistant.retrieval import build_index
from matgen.assistant.safety_words import hazards
from matgen.assistant.structure_words import structure_sentences
from matgen.constraints.specification import build_constraints
from matgen.data.candidates import Candidates
from matgen.errors import DataError
from matgen.surrogates.base import Prediction


@pytest.fixture
def run(tmp_path, perovskite, rocksalt):
    cobalt = Structure(Lattice.cubic(3.9), ["La", "Co", "O", "O", "O"], perovskite.frac_coords)
    table = pd.DataFrame(
        {
            "id": ["aaa", "bbb", "ccc"],
            "formula": ["SrTiO3", "LaCoO3", "NaCl"],
            "rank": [1, 2, 3],
            "e_above_hull": [0.012, 0.03, 0.2],
            "band_gap": [2.1, 0.4, 5.0],
            "band_gap_std": [0.3, 0.3, 0.5],
            "in_domain": [True, False, True],
            "novel": [False, True, True],
            "valid": [True] * 3,
            "nearest_known": ["SrTiO3", "LaCoO3", "KCl"],
            "competing_phases": ["0.5 SrO + 0.5 TiO2", "La2O3 + CoO", "Na + Cl"],
            "hull_reference": ["mp-20"] * 3,
            "reasons": ["charge neutral as Sr2+ Ti4+ O2-", None, None],
        }
    )
    left = pd.DataFrame({"id": ["ddd"], "formula": ["SrBr"], "stage": ["screen"], "reason": ["no neutral charges"]})
    Candidates(table, [perovskite, cobalt, rocksalt], left, [rocksalt]).write(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("question", "query"),
    [
        (
            "which candidates contain no cobalt and lie below 50 meV?",
            Query(exclude=frozenset({"Co"}), conditions=(Condition("e_above_hull", high=0.05),)),
        ),
        ("How many candidates contain Li or Na?", Query(either=frozenset({"Li", "Na"}), count=True)),
        ("top 3 with band gap between 1 and 6 eV", Query(conditions=(Condition("band_gap", 1.0, 6.0),), top=3)),
        ("lead-free novel candidates", Query(exclude=frozenset({"Pb"}), flags=("novel",))),
        (
            "containing Sr and Ti with at most 5 atoms",
            Query(frozenset({"Sr", "Ti"}), conditions=(Condition("n_atoms", high=5.0),)),
        ),
        ("space group 221", Query(conditions=(Condition("space_group", 221.0, 221.0),))),
        ("candidates within 0.1 eV/atom of the hull", Query(conditions=(Condition("e_above_hull", high=0.1),))),
        ("what is love", Query()),
    ],
)
def test_questions_become_typed_queries(question, query):
    assert parse_query(question) == query


def test_answers_come_from_the_table(run):
    answer = ask_run("which candidates contain no cobalt and lie below 50 meV?", run)
    assert "1 of 3 candidates" in answer.text
    assert "SrTiO3 (aaa)" in answer.text
    assert "LaCoO3" not in answer.text
    assert {c.document.split(":")[0] for c in answer.citations} == {"run"}


def test_why_a_candidate_left(run):
    assert "left at stage screen: no neutral charges" in ask_run("Why was SrBr rejected?", run).text
    assert ask_run("Why was XeF2 rejected?", run).refused


def test_what_the_run_did_not_compute_is_refused(run):
    answer = ask_run("candidates in space group 225", run)
    assert answer.refused
    assert "space_group" in answer.text
    assert ask_run("what is love", run).refused


@pytest.mark.parametrize("name", ["aaa", "1", "SrTiO3", "Sr2Ti2O6"])
def test_a_candidate_by_id_rank_or_formula(run, name):
    assert explain(run, name, attribute=False).candidate == "aaa"


def test_an_unknown_candidate_is_named(run):
    with pytest.raises(DataError, match="no such candidate"):
        explain(run, "zzz")


def test_every_sentence_of_an_explanation_is_cited_and_stands(run):
    index = build_index(
        [
            Document(
                "DOI:10.1/a",
                "Films of SrTiO3",
                "SrTiO3 is a cubic perovskite with a large dielectric constant.",
                "Doe, J.",
                2020,
            ),
            Document("DOI:10.1/b", "On bread", "Bread rises in a warm oven."),
        ]
    )
    recipes = Recipes([Recipe("r1", "10.1/r", "SrTiO3", ("SrCO3", "TiO2"), ((1100.0, 10.0),))])
    found = explain(run, "aaa", index=index, recipes=recipes, attribute=False)
    text = {s.heading: s.text for s in found.sections}
    assert not found.removed
    assert "Pm-3m (number 221" in text["Composition and structure"]
    assert "Each Ti of SrTiO3 is bonded to 6 O at 1.95 Å (octahedral" in text["Composition and structure"]
    assert "0.012 eV/atom above the hull of mp-20, by a machine-learning potential" in text["Stability"]
    assert "SrO (50 % of the atoms) and TiO2 (50 % of the atoms)" in text["Stability"]
    assert "2.10 ± 0.30 eV, predicted by a surrogate" in text["Properties"]
    assert "large dielectric constant" in text["Known relatives"]
    assert "SrCO3 and TiO2" in text["How it might be made"]
    assert "1100 °C for 10 h" in text["How it might be made"]
    assert "DFT" in text["Open doubts"]
    assert "Bread" not in str(text)
    assert "balance as Sr2+ Ti4+ O2-" in text["Why it passed"]
    assert "times its limit" in text["Why it passed"]
    assert "Phonons" in text["Open doubts"]
    assert "hazard" in text["Hazards"]
    labels = {c.label for c in found.citations}
    assert len(labels) == len(found.citations)


def test_doubts_name_what_is_out_of_domain(run):
    text = {s.heading: s.text for s in explain(run, "bbb", attribute=False).sections}
    assert "unlike the training data" in text["Open doubts"]
    assert "band gap of LaCoO3 is uncertain by 0.3 eV" in text["Open doubts"]
    assert "cobalt compounds are suspected carcinogens" in text["Hazards"]


def test_a_run_without_recipes_or_literature_says_so(run):
    index = build_index([Document("DOI:10.1/b", "On bread", "Bread rises in a warm oven.")])
    text = {s.heading: s.text for s in explain(run, "ccc", index=index, attribute=False).sections}
    assert "no reported syntheses are at hand" in text["How it might be made"]
    assert "matgen corpus add" in text["How it might be made"]
    assert "No passage of the corpus" in text["Known relatives"]


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        ("isostructural with MgAl2O4 (Fd-3m)", "NaCl is isostructural with MgAl2O4 (Fd-3m)."),
        ("NaCl is known in other structures (P1)", "NaCl is known in other structures (P1)."),
        (
            "closest known composition: KCl (Fm-3m)",
            "No compound of the composition NaCl is in the reference set; the closest composition is KCl (Fm-3m).",
        ),
    ],
)
def test_notes_on_novelty_become_sentences(note, sentence):
    assert _nearest("NaCl", note) == sentence


def test_the_constraints_of_the_run_are_explained_and_broken_ones_named(tmp_path, rocksalt):
    (tmp_path / "config.yaml").write_text(
        "screen: {constraints: [{n_elements: {low: 2, high: 5}}, {volume_per_atom: {low: 3, high: 4}}, {mine: {}}]}"
    )
    kept, broken = verdict_sentences("NaCl", rocksalt, constraints_of(tmp_path), ())
    assert kept == ["NaCl has 2 elements, within the limits of 2 to 5."]
    assert broken[0].startswith("After relaxation NaCl breaks the constraint volume_per_atom")


def test_metals_need_no_charges_and_oxoanions_no_hydride_warning(rocksalt):
    alloy = rocksalt.copy()
    alloy.replace_species({"Cl": "K"})
    kept, _ = verdict_sentences("KNa", alloy, build_constraints(["charge_neutral"]), ())
    assert kept == ["KNa consists of metals only, for which charges need not balance."]
    assert "S" in hazards(["Zn", "S"])
    assert "S" not in hazards(["Ba", "S", "O"])
    assert hazards(["U", "O"])["U"] == "it is radioactive"


@pytest.mark.parametrize("topic", sorted(BACKGROUND))
def test_background_sentences_exist(topic):
    assert len(background(topic)) == 1


def test_words_for_a_structure(diamond, rocksalt):
    assert "Fd-3m" in structure_sentences({}, diamond)[0]
    assert any("Each Na of NaCl is bonded to 6 Cl" in s for s in structure_sentences({}, rocksalt))


def test_attribution_finds_the_element_that_matters(rocksalt):
    class Chlorine:
        def predict(self, structures):
            import numpy as np

            mean = np.array([10.0 * s.composition.get_atomic_fraction("Cl") for s in structures])
            return Prediction(mean, np.zeros_like(mean), np.ones(len(mean), bool))

    found = dict(changes(rocksalt, Chlorine()))
    assert found["Cl"] > 0 > found["Na"]


def test_sites_of_one_element_are_told_apart_where_they_act_differently(perovskite):
    class Apical:
        """Predicts from the height of the oxygen atoms, so that the site along c counts and the others do not."""

        def predict(self, structures):
            import numpy as np

            high = [
                sum(s.specie.symbol == "O" and abs(s.frac_coords[2] * 3 % 1 - 0.0) < 0.01 for s in x)
                for x in structures
            ]
            return Prediction(np.array(high, float), np.zeros(len(high)), np.ones(len(high), bool))

    stretched = perovskite.copy()
    stretched.lattice = Lattice.tetragonal(3.9, 4.1)
    labels = [label for label, _ in changes(stretched, Apical())]
    assert sum(label.startswith("O on site") for label in labels) == 2
    assert {"Sr", "Ti"} <= set(labels)
