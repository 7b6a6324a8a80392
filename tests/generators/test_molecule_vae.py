"""Autoencoders of molecules: the battery, what a code does not depend on, decoding, learning, generators of codes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Crippen

from matgen.constraints.specification import build_constraints
from matgen.data.molecules import canonical, sketch
from matgen.data.request import Request
from matgen.data.structures import from_batch, to_batch
from matgen.errors import ConfigError
from matgen.features.molecules import bond_graph_of, to_bond_graph
from matgen.generators.base import GENERATORS, load_generator, shipped_models
from matgen.generators.molecule_graphs import Graphs, without_stereo
from matgen.generators.notation import kekule_order, kekule_smiles
from matgen.generators.smiles_sampling import sample_smiles
from matgen.generators.training import train
from matgen.runtime import Streams
from matgen.testing import check_generator
from matgen.training import Training, fit

TINY = {"width": 32, "layers": 2, "heads": 2, "length": 48, "code": 8, "encoder_width": 24, "encoder_layers": 2}
CHAINS = [f"{'C' * i}{end}" for i in range(1, 7) for end in ("O", "N", "F", "C(=O)O", "c1ccccc1", "C1CCNC1")]
AROMATIC = "Cc1ccc(C(=O)Nc2ncccc2F)cc1"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "chains.csv"
    pd.DataFrame({"smiles": CHAINS}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=["smiles-vae", "selfies-vae"])
def ready(request, table):
    """An untrained autoencoder that knows which tokens occur, and its training data."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GENERATORS.get(request.param)(**TINY, targets=["logp"], max_atoms=20)
        torch.nn.init.normal_(model.steer[-1].weight, std=0.2)  # so that what is written depends on the code
    _, data = model.gather([table], None)
    model.prepare(data)
    return model.eval(), data


def test_battery(ready):
    model, data = ready
    check_generator(model, data, n=5, elements=("H", "C", "O"))


def test_a_code_does_not_depend_on_the_numbering_of_atoms(ready):
    model, _ = ready
    molecule = Chem.MolFromSmiles(AROMATIC)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(molecule.GetNumAtoms()).tolist() for _ in range(4)]
    spelled = [Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False) for order in orders]
    assert len(set(spelled)) > 1
    codes = model.encode_smiles([AROMATIC, *spelled])
    assert torch.allclose(codes, codes[:1].expand_as(codes), atol=1e-4)  # batches round differently
    structures = model.encode(to_batch([sketch(AROMATIC), sketch("CCO")]))
    assert torch.allclose(structures[0], codes[0], atol=1e-4)
    assert not torch.allclose(structures[1], codes[0], atol=1e-2)


def test_places_are_those_of_the_written_smiles():
    molecule = Chem.MolFromSmiles(AROMATIC)
    places = kekule_order(molecule)
    assert sorted(places) == list(range(molecule.GetNumAtoms()))
    written = Chem.MolFromSmiles(kekule_smiles(molecule))  # its atoms are numbered as they are written
    for atom, place in zip(molecule.GetAtoms(), places, strict=True):
        there = written.GetAtomWithIdx(place)
        assert (there.GetAtomicNum(), there.GetDegree()) == (atom.GetAtomicNum(), atom.GetDegree())
        ends = {places[n.GetIdx()] for n in atom.GetNeighbors()}
        assert ends == {n.GetIdx() for n in there.GetNeighbors()}


def test_chosen_graphs_are_those_of_each_alone():
    texts = ["CCO", "C", "c1ccncc1", "CC(=O)O"]
    chosen = Graphs.of(texts).select(torch.tensor([2, 0, 2, 1]))
    again = Graphs.of([texts[i] for i in (2, 0, 2, 1)])
    for name in ("atoms", "places", "owner", "edge_index", "bonds"):
        assert torch.equal(getattr(chosen, name), getattr(again, name)), name
    graph = bond_graph_of(Chem.MolFromSmiles(canonical("c1ccncc1")))
    assert torch.equal(graph.atoms, to_bond_graph("c1ccncc1").atoms)


def test_every_code_decodes_to_a_molecule_and_likewise_each_time(ready):
    model, _ = ready
    codes = 3 * torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    batch = model.decode(codes, rng=Streams(0, "x"))
    assert all(Chem.MolFromSmiles(text) is not None for text in batch.smiles)
    assert list(batch.smiles) == model.decode_smiles(codes, rng=Streams(7, "y"))  # the likeliest tokens need no draw
    assert len(set(batch.smiles)) > 5
    assert model.decode_smiles(codes[3:5], rng=Streams(0, "x")) == list(batch.smiles[3:5])
    drawn = model.decode_smiles(codes, rng=Streams(0, "x"), temperature=1.0)
    assert drawn != list(batch.smiles)
    assert from_batch(batch)[0].properties["smiles"] == batch.smiles[0]


def test_lines_between_codes_begin_and_end_at_them(ready):
    model, _ = ready
    first, second = model.encode_smiles(["CCO", "CCCCc1ccccc1"])
    line = model.between(first, second, 5)
    assert torch.allclose(line[0], first)
    assert torch.allclose(line[-1], second)
    assert torch.allclose(line[2], (first + second) / 2, atol=1e-6)


def test_elements_and_orders(ready):
    model, data = ready
    masks = build_constraints([{"elements": {"only": ["H", "C"]}}], "mask")
    texts = model.sample_smiles([Request()] * 20, rng=Streams(0, "x"), constraints=masks)
    assert {atom.GetSymbol() for text in texts for atom in Chem.MolFromSmiles(text).GetAtoms()} <= {"C"}
    with pytest.raises(ConfigError, match="canonical order"):
        type(model)(**TINY, orders=2)
    with pytest.raises(ConfigError, match="reads up to 20"):
        model.encode_smiles(["C" * 30])
    batch = data.part(torch.tensor([3, 1])).batch(torch.arange(2))
    graphs = Graphs.in_batch(batch)
    assert graphs.n == 2
    assert torch.equal(graphs.atoms, Graphs.of([CHAINS[3], CHAINS[1]]).atoms)


def test_stereochemistry_is_left_out():
    assert without_stereo("C[C@H](N)C(=O)O") == "CC(N)C(=O)O"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An autoencoder that has learned a few molecules by heart, where it lies, and their table."""
    folder = tmp_path_factory.mktemp("models")
    pd.DataFrame({"smiles": CHAINS[:18]}).to_csv(folder / "few.csv", index=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GENERATORS.get("smiles-vae")(**TINY, targets=["logp"], max_atoms=20, kl=1e-4)
    _, data = model.gather([folder / "few.csv"], None)
    model.prepare(data)
    settings = Training(steps=250, atoms=400, lr=5e-3, warmup=20, ema=0.97, precision="32-true", save_every=250)
    average = fit(model, data, folder / "checkpoints", settings)
    average.finish(data, torch.Generator().manual_seed(0), steps=300, batch=64)
    average.save(folder / "vae")
    return average, folder / "vae", folder / "few.csv"


def test_what_was_learned_comes_back_from_its_code(trained):
    model, _, _ = trained
    batch = to_batch([sketch(text) for text in CHAINS[:18]])
    again = model.reconstruct(batch, rng=Streams(0, "x")).smiles
    right = np.mean([canonical(text) == made for text, made in zip(CHAINS[:18], again, strict=True)])
    assert right > 0.7
    noise = torch.randn(36, 8, generator=torch.Generator().manual_seed(0))
    assert len(set(model.decode_smiles(model.draw_codes(noise), rng=Streams(0, "x")))) > 6


def test_a_wanted_target_chooses_the_code(trained):
    model = trained[0]
    means = []
    for wanted in (0.0, 3.0):
        texts = model.sample_smiles([Request(target={"logp": wanted})] * 20, rng=Streams(0, "x"))
        means.append(np.mean([Crippen.MolLogP(Chem.MolFromSmiles(text)) for text in texts]))
    assert means[1] > means[0] + 0.5


@pytest.mark.parametrize("kind", ["latent-diffusion", "gan", "normalizing-flow"])
def test_generators_of_codes_stand_on_molecules(kind, trained, tmp_path):
    if kind == "normalizing-flow":
        pytest.importorskip("zuko")
    _, folder, table = trained
    own = {"normalizing-flow": {"width": 16, "transforms": 2, "bins": 4}}.get(kind, {"width": 16})
    settings = Training(steps=4, atoms=400, warmup=2, precision="32-true", save_every=4)
    model = train(
        table,
        tmp_path / "m",
        generator=kind,
        config={"autoencoder": str(folder), **own},
        settings=settings,
        validation=0.2,
    )
    check_generator(model.requires_grad_(), model.gather([table], None)[1], n=3, elements=("H", "C"))
    written = sample_smiles(tmp_path / "m", 5)["smiles"].tolist()
    assert list(model.sample(Request(n=5), rng=Streams(0, model.name)).smiles) == written
    assert load_generator(tmp_path / "m").conditions == {"target"}
    penalty = build_constraints([{"min_distance": {"roles": ["penalty"]}}], "penalty")
    with pytest.raises(ConfigError, match="act in the generator"):
        model.sample(Request(n=1), rng=Streams(0, "x"), constraints=penalty)


@pytest.mark.skipif("smiles-vae-qm9" not in shipped_models("generator"), reason="the latent space is not shipped")
def test_the_shipped_codes_hold_small_molecules():
    model = load_generator("smiles-vae-qm9")
    texts = [
        "CCO",
        "OC1CCCC1",
        "CC(=O)NC",
        "C#CCCO",
        "COC(C)C=O",
        "N#CC1CC1O",
        "CC(C)(C)O",
        "OCC1CCO1",
        "CC1CC1C#N",
        "NC(=O)CO",
    ]
    again = model.decode_smiles(model.encode_smiles(texts), rng=Streams(0, "x"))
    assert sum(canonical(text) == made for text, made in zip(texts, again, strict=True)) >= 6
