"""Searching the latent space of molecules: each molecule once, with its bonds, its value what RDKit says."""

from __future__ import annotations

import optuna
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import QED

from matgen.data.molecules import sketch
from matgen.data.structures import write_structures
from matgen.generators.base import GENERATORS
from matgen.optimize import optimize
from matgen.optimize.results import candidates_of, structure_key

KNOWN = [f"{'C' * i}{end}" for i in range(1, 6) for end in ("O", "N", "F", "C(=O)O", "c1ccccc1")]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The latent space of an autoencoder that knows tokens but has learned nothing, near simple molecules."""
    folder = tmp_path_factory.mktemp("search")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GENERATORS.get("smiles-vae")(
            width=24, layers=1, heads=2, length=40, code=6, encoder_width=16, encoder_layers=1, max_atoms=20
        )
        torch.nn.init.normal_(model.steer[-1].weight, std=0.5)
    pd.DataFrame({"smiles": KNOWN}).to_csv(folder / "known.csv", index=False)
    model.prepare(model.gather([folder / "known.csv"], None)[1])
    model.save(folder / "vae")
    table = pd.DataFrame({"id": [str(i) for i in range(len(KNOWN))]})
    write_structures(folder / "known.parquet", table, [sketch(text) for text in KNOWN])
    return {"latent": {"source": str(folder / "known.parquet"), "model": str(folder / "vae"), "dimensions": 4}}


def test_each_molecule_is_evaluated_once_and_keeps_its_bonds(space):
    aims = [{"property": "qed", "goal": "maximise"}]
    study = optimize(space, {"ladder": {"rungs": ["descriptors"]}}, aims, sampler="random", evaluations=10, seed=0)
    made = candidates_of(study)
    texts = [structure.properties["smiles"] for structure in made.structures]
    assert len(texts) == len(set(texts)) >= 2
    assert made.table["qed"].tolist() == pytest.approx([QED.qed(Chem.MolFromSmiles(text)) for text in texts])
    assert made.table["qed"].is_monotonic_decreasing


def test_isomers_have_keys_of_their_own_and_spellings_one():
    study = optuna.create_study()
    first, second, isomer = sketch("CCO"), sketch("OCC"), sketch("COC")
    assert structure_key(study, first, 0) == structure_key(study, second, 1)
    assert structure_key(study, first, 0) != structure_key(study, isomer, 2)
