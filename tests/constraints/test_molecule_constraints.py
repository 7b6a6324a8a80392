"""Constraints on molecules: known molecules pass or fail for the reason that a chemist would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from matgen.constraints.screening import screen
from matgen.constraints.specification import build_constraints
from matgen.data.candidates import Candidates
from matgen.data.molecules import embed, sketch
from matgen.data.structures import molecule
from matgen.errors import ConfigError
from matgen.execution import Serial

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def _reason(spec, smiles):
    (constraint,) = build_constraints([spec])
    return constraint.check([sketch(smiles)]).reasons[0]


@pytest.mark.parametrize(
    ("spec", "passes", "fails", "words"),
    [
        ("valence", "CCO", "C[CH2]", "radical"),
        ("valence", "C[N+](=O)[O-]", "C[N+](C)(C)C", r"net charge \+1"),
        ("valence", "CCO", "C.C", "2 pieces"),
        ({"ring_sizes": {"smallest": 5, "largest": 6}}, ASPIRIN, "C1CC1C", "a ring of 3 atoms"),
        ({"ring_sizes": {"most": 1}}, "C1CCCCC1", "c1ccc2ccccc2c1", "2 rings"),
        ({"ring_sizes": {"spiro": False}}, "c1ccc2ccccc2c1", "C1CCC2(C1)CCCC2", "spiro"),
        ({"substructure": {"required": ["C(=O)[OH]"]}}, ASPIRIN, "CCO", r"lacks C\(=O\)"),
        ({"substructure": {"forbidden": ["[N+](=O)[O-]"]}}, ASPIRIN, "c1ccccc1[N+](=O)[O-]", "contains"),
        ("synthetic_accessibility", ASPIRIN, "C1C2C3C1C1C2C3C2CC3C4C(C5OC5C14)C23", "synthetic accessibility"),
        ("structural_alerts", "CC(=O)Nc1ccccc1", "O=C1NC(=S)SC1=Cc1ccccc1", "structural alert"),
        ("drug_like", ASPIRIN, "C" * 40, "molecular weight.*logP"),
        ({"drug_like": {"qed": 0.5}}, ASPIRIN, "CCCCCCCCCCCC", "QED"),
        ({"molecular_weight": {"low": 100, "high": 200}}, ASPIRIN, "CCO", "46.07 g/mol"),
        ({"elements": {"only": ["C", "H", "O"]}}, ASPIRIN, "CCN", "N"),
    ],
)
def test_a_molecule_passes_and_another_fails(spec, passes, fails, words):
    assert _reason(spec, passes) is None
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        raise AssertionError(_reason(spec, fails))


def test_scores_are_the_published_quantities():
    (weight,) = build_constraints(["molecular_weight"])
    assert weight.check([sketch(ASPIRIN)]).score[0] == pytest.approx(180.16, abs=0.01)
    (ease,) = build_constraints(["synthetic_accessibility"])
    assert ease.check([sketch(ASPIRIN)]).score[0] == pytest.approx(1.58, abs=0.01)


def test_bonds_are_read_off_coordinates_where_no_smiles_are_carried():
    bare = embed(ASPIRIN, 1)
    bare = molecule(bare.atomic_numbers, bare.cart_coords)
    torn = molecule([6, 8], [[0, 0, 0], [6, 0, 0]])
    (valence,) = build_constraints(["valence"])
    assert valence.check([bare, torn]).reasons == (None, "no molecule: the atoms are in several pieces")


def test_molecules_are_screened_like_crystals():
    smiles = ["CC(=O)Nc1ccccc1", "CCCCCCCCCCCCCCCC", "c1ccccc1[N+](=O)[O-]"]
    table = pd.DataFrame({"id": ["a", "b", "c"], "smiles": smiles})
    found = screen(
        Candidates(table, [sketch(s) for s in smiles]),
        ["valence", "structural_alerts", {"drug_like": {"rotatable": 5}}],
        executor=Serial(),
    )
    assert list(found.table["id"]) == ["a"]
    assert found.table.at[0, "formula"] == "C8H9NO"
    assert pd.isna(found.table.at[0, "space_group"])
    assert found.structures[0].properties["smiles"] == smiles[0]
    assert len(found.rejected) == 2


@pytest.mark.parametrize(
    "spec",
    [
        {"substructure": {"required": ["C(("]}},
        "substructure",
        {"ring_sizes": {"smallest": 2}},
        {"structural_alerts": {"lists": ["NONE"]}},
        {"molecular_weight": {"low": 9, "high": 3}},
        {"synthetic_accessibility": {"high": 0}},
    ],
)
def test_impossible_settings_are_refused(spec):
    with pytest.raises(ConfigError):
        build_constraints([spec])


def test_the_mask_of_a_weight_leaves_hydrogen_for_the_rest():
    (weight,) = build_constraints([{"molecular_weight": {"high": 18.1}}], "mask")
    numbers, real = torch.tensor([[6, 0, 0, 0, 0]]), torch.ones(1, 5, dtype=torch.bool)
    assert weight.mask(numbers, real)[0, 1].nonzero()[:, 0].tolist()[-1] == 1  # methane and nothing else
    assert weight.permits(np.array([8, 1, 1]))  # water
    assert not weight.permits(np.array([8, 1, 1, 1, 1]))
