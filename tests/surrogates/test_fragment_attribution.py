"""Contributions of groups: known groups, a property that is a sum over them, drawings and rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from matgen.constraints.molecule_quality import molecular_weight
from matgen.surrogates.base import Prediction
from matgen.surrogates.fragment_attribution import (
    atom_weights,
    group_contributions,
    groups_of,
    predicted_contributions,
    without,
)

SOME = ["CC(=O)Oc1ccccc1C(=O)O", "C[N+](C)(C)CCO", "Cn1cccc1C#N", "FC(F)(F)c1ccc([N+](=O)[O-])cc1", "CCCC", "c1ccccc1",
        "O=S(=O)(N)c1ccc(Cl)cc1", "C1CC1C1CCCC1", "CC(N)C(=O)NCC(=O)O"]  # fmt: skip


class Weigher:
    """A 'surrogate' whose property is the molecular weight."""

    def predict(self, molecules):
        mean = np.array([molecular_weight(Chem.MolFromSmiles(m)) for m in molecules])
        return Prediction(mean, np.ones_like(mean), np.ones(len(mean), dtype=bool))


def test_groups_are_those_a_chemist_names():
    found = group_contributions(Weigher(), "CC(=O)Oc1ccc(C(F)(F)F)cc1C(=O)O")
    assert {group.smiles for group in found} == {"*C", "*OC(*)=O", "*C(F)(F)F", "*C(=O)O", "*c1ccc(*)c(*)c1"}
    assert group_contributions(Weigher(), "c1ccccc1") == []


def test_a_sum_over_groups_is_given_back():
    # Without a nitro group (46.005) one hydrogen (1.008) more is left.
    found = {group.smiles: group.contribution for group in group_contributions(Weigher(), "O=[N+]([O-])c1ccccc1")}
    assert found["*[N+](=O)[O-]"] == pytest.approx(46.005 - 1.008, abs=0.01)


@given(st.sampled_from(SOME), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_groups_part_the_molecule_and_leave_molecules_without_radicals(smiles, seed):
    molecule = Chem.MolFromSmiles(Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 1, randomSeed=seed)[0])
    groups = groups_of(molecule)
    assert sorted(i for group in groups for i in group) == list(range(molecule.GetNumAtoms()))
    for group in groups:
        rest = without(molecule, group)
        if rest is None:
            assert len(group) == molecule.GetNumAtoms()
            continue
        left = Chem.MolFromSmiles(rest)
        assert left.GetNumAtoms() == molecule.GetNumAtoms() - len(group)
        assert sum(atom.GetNumRadicalElectrons() for atom in left.GetAtoms()) == 0


def test_weights_share_the_contribution_of_each_group():
    groups = group_contributions(Weigher(), "Clc1ccccc1")
    weights = atom_weights(groups, 7)
    assert weights.sum() == pytest.approx(sum(group.contribution for group in groups))
    assert len(set(np.round(weights, 9))) == 2


def test_only_predictions_of_shipped_models_for_molecules_are_explained():
    row = {"log10_solubility": -1.0, "log10_solubility_std": 0.5, "band_gap": 1.0, "band_gap_std": 0.1, "mine_std": 1}
    found = predicted_contributions(row, "CCCCCCc1ccccc1C(=O)O")
    assert list(found) == ["log10_solubility"]
    by_group = {group.smiles: group.contribution for group in found["log10_solubility"]}
    assert by_group["*CCCCCC"] < 0 < by_group["*C(=O)O"]
