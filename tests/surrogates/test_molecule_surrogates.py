"""Surrogates of molecules: exact trees, calibrated uncertainty, the same answers after saving, SMILES or structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from matgen.constraints.molecule_quality import log_p, molecular_weight
from matgen.data.molecules import embed, parse_smiles
from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.features.molecules import (
    DESCRIPTORS,
    compositions,
    descriptors,
    fingerprints,
    to_bond_graph,
)
from matgen.surrogates.molecule_boosting import MoleculeBoosting
from matgen.surrogates.molecule_graph import MoleculeGraphEnsemble
from matgen.surrogates.storage import load_surrogate, shipped
from matgen.surrogates.training import read_values
from matgen.surrogates.validation import fold_labels

TAILS = ["", "C", "CC", "O", "N", "F", "Cl", "C(=O)O", "C#N", "OC", "C(F)(F)F", "CCO"]
HEADS = ["c1ccccc1{}", "C1CCCCC1{}", "c1ccncc1{}", "CCCC{}", "CC(C)C{}", "c1ccoc1{}", "CC(=O)N{}"]
SMILES = sorted({Chem.CanonSmiles(head.format(tail)) for head in HEADS for tail in TAILS})
LOGP = np.array([log_p(parse_smiles(s)) for s in SMILES])
SMALL = {"members": 4, "trees": 30, "bits": 64, "least": 3}


@pytest.fixture(scope="module")
def boosted():
    model = MoleculeBoosting(find_property("logp"), **SMALL)
    model.fit(SMILES, LOGP, rng=np.random.default_rng(0))
    return model


def test_features_are_the_published_quantities():
    (row,) = descriptors(["CC(=O)Oc1ccccc1C(=O)O"])
    assert row[DESCRIPTORS.index("MolWt")] == pytest.approx(180.159, abs=1e-2)
    assert row[DESCRIPTORS.index("NumHDonors")] == 1
    assert fingerprints(["CCO"])[0].sum() == 6  # three atoms, then three larger environments without repeats
    assert compositions(["CCO"])[0].hill_formula == "C2 H6 O"
    assert molecular_weight(parse_smiles("O")) == pytest.approx(18.015, abs=1e-3)


def test_a_graph_has_both_directions_of_each_bond_whatever_the_spelling():
    one, other = to_bond_graph("OCC"), to_bond_graph("CCO")
    assert one.edge_index.shape == (2, 4)
    assert one.bonds.shape[0] == 4
    assert sorted(one.numbers.tolist()) == [6, 6, 8]
    assert one.atoms.equal(other.atoms)


def test_boosting_learns_and_knows_what_it_does_not_know(boosted):
    inside = boosted.predict(SMILES)
    assert np.abs(inside.mean - LOGP).mean() < 0.5 * np.abs(LOGP - np.median(LOGP)).mean()
    assert (inside.std > 0).all()
    assert inside.in_domain.mean() > 0.9
    outside = boosted.predict(["[SiH3][SiH2][SiH2]Br"])
    assert not outside.in_domain[0]


def test_a_saved_booster_answers_the_same(boosted, tmp_path):
    boosted.save(tmp_path, quantity="logP")
    before, after = boosted.predict(SMILES[:9]), load_surrogate(tmp_path).predict(SMILES[:9])
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.std, after.std)
    assert np.array_equal(before.in_domain, after.in_domain)


def test_structures_and_smiles_are_answered_alike(boosted):
    assert boosted.predict([embed("CCCCO", 1)]).mean == boosted.predict(["OCCCC"]).mean
    with pytest.raises(ConfigError, match="not fitted"):
        MoleculeBoosting(find_property("logp")).predict(["C"])


def test_the_graph_ensemble_fits_saves_and_answers_the_same(tmp_path):
    model = MoleculeGraphEnsemble(find_property("logp"), members=2, epochs=3, restart_epochs=1, width=16, layers=2)
    model.fit(SMILES, LOGP, rng=np.random.default_rng(0))
    model.save(tmp_path)
    before, after = model.predict(SMILES[:5]), load_surrogate(tmp_path).predict(SMILES[:5])
    assert after.mean == pytest.approx(before.mean, abs=1e-6)
    assert (before.std > 0).all()


def test_tables_of_smiles_are_learned_from_without_structures(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "smiles": ["CCO", "CCN"], "logp": [0.1, np.nan]})
    table.to_parquet(tmp_path / "t.parquet")
    materials, values, missing = read_values(tmp_path / "t.parquet", "logp")
    assert (materials, values.tolist(), missing) == (["CCO"], [0.1], 1)


def test_scaffolds_and_formulas_stay_in_one_fold():
    molecules = ["c1ccccc1C", "c1ccccc1CC", "c1ccncc1C", "CCO", "COC"]
    by_scaffold = fold_labels(molecules, "scaffold", 3, np.random.default_rng(0))
    assert by_scaffold[0] == by_scaffold[1]
    by_formula = fold_labels(molecules, "formula", 3, np.random.default_rng(0))
    assert by_formula[3] == by_formula[4]


@pytest.mark.parametrize("name", [n for n, card in shipped().items() if card["surrogate"].startswith("molecule")])
def test_shipped_models_load_and_answer_in_their_domain(name):
    answer = load_surrogate(name).predict(["CC(=O)Nc1ccc(O)cc1", "CCCCCCO"])
    assert answer.in_domain.all()
    assert np.isfinite(answer.mean).all()
