"""Generators on SMILES and SELFIES: battery, targets, fragments, tables, training that resumes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Crippen
from typer.testing import CliRunner

from matgen.cli import app
from matgen.constraints.molecule_quality import molecular_weight
from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch, is_molecule
from matgen.errors import ConfigError, DataError
from matgen.execution import Pool, Serial
from matgen.generators.base import GENERATORS
from matgen.generators.sampling import sample
from matgen.generators.sequence_gathering import gather_sequences
from matgen.generators.smiles_sampling import sample_smiles
from matgen.generators.training import train
from matgen.generators.writing import Decoding
from matgen.runtime import Streams
from matgen.testing import check_generator
from matgen.training import Training

TINY = {"width": 24, "layers": 2, "heads": 2, "length": 48, "targets": ["logp"]}
SHORT = Training(steps=4, atoms=200, warmup=2, precision="32-true", save_every=2)
CHAINS = [f"{'C' * i}{end}" for i in range(1, 7) for end in ("O", "N", "F", "C(=O)O", "c1ccccc1", "C1CCNC1")]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "chains.csv"
    pd.DataFrame({"smiles": [*CHAINS, "OC", "nonsense", "[Na+].[Cl-]", "C" * 50]}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=["smiles", "selfies"])
def ready(request, table):
    """An untrained generator that knows which tokens occur, and its training data."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GENERATORS.get(request.param)(**TINY, max_atoms=20)
    _, data = gather_sequences([table], model, None)
    model.prepare(data)
    return model.eval(), data


def test_battery(ready):
    model, data = ready
    check_generator(model, data, n=6, elements=("H", "C", "O"))


def test_samples_are_molecules_with_their_smiles(ready):
    model, _ = ready
    batch = model.sample(Request(n=30), rng=Streams(1, "x"))
    for structure, smiles in zip(from_batch(batch), batch.smiles, strict=True):
        assert is_molecule(structure)
        assert structure.properties["smiles"] == smiles == Chem.CanonSmiles(smiles)
        assert len(structure) == Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()


def test_a_largest_weight_holds_while_smiles_are_written(ready):
    model, _ = ready
    light = build_constraints([{"molecular_weight": {"high": 90}}], "mask")
    if model.name == "selfies":
        with pytest.raises(ConfigError, match="no weight is kept"):
            model.sample_smiles([Request()], rng=Streams(1, "x"), constraints=light)
        return
    written = model.sample_smiles([Request()] * 60, rng=Streams(1, "x"), constraints=light)
    assert max(molecular_weight(Chem.MolFromSmiles(text)) for text in written) <= 90
    with pytest.raises(ConfigError, match="fragment is held fixed"):
        model.sample_smiles([Request()], rng=Streams(1, "x"), constraints=light, fragment="CC*")


def test_rings_are_limited_while_smiles_are_written(ready):
    model, _ = ready
    if model.name == "selfies":
        with pytest.raises(ConfigError, match="not limited in SELFIES"):
            model.sample_smiles([Request()], rng=Streams(1, "x"), largest_ring=6)
        return
    free = [Chem.MolFromSmiles(text) for text in model.sample_smiles([Request()] * 80, rng=Streams(1, "x"))]
    texts = model.sample_smiles([Request()] * 80, rng=Streams(1, "x"), largest_ring=6, most_rings=2)
    limited = [Chem.MolFromSmiles(text) for text in texts]

    def largest(molecule):
        return max(map(len, molecule.GetRingInfo().AtomRings()), default=0)

    assert max(map(largest, free)) > 6
    assert max(map(largest, limited)) in (5, 6)
    assert max(molecule.GetRingInfo().NumRings() for molecule in limited) <= 2
    with pytest.raises(ConfigError, match="while a fragment is held fixed"):
        model.sample_smiles([Request()], rng=Streams(1, "x"), largest_ring=6, fragment="CC*")


def test_what_cannot_be_learned_is_counted(table):
    model = GENERATORS.get("smiles")(**TINY, max_atoms=20)
    rows, data = gather_sequences([table], model, None)
    assert len(rows) == len(CHAINS)
    assert len(data) == 2 * len(CHAINS)
    counts = {"occurs twice or is excluded": 1, "is no SMILES that RDKit accepts": 1, "has several fragments": 1}
    assert rows.attrs["left_out"] == {**counts, "has more than 20 heavy atoms": 1}
    assert data.system["logp"][0] == pytest.approx(Crippen.MolLogP(Chem.MolFromSmiles("CO")), abs=1e-6)
    with pytest.raises(DataError, match="no molecule is left"):
        gather_sequences([table], model, table)


def test_batches_hold_every_sequence_once(ready):
    _, data = ready
    seen = torch.cat(list(data.epoch(64, np.random.default_rng(0))))
    assert sorted(seen.tolist()) == list(range(len(data)))
    held_out, learned = data.split(0.25, np.random.default_rng(0))
    assert len(held_out) + len(learned) == len(data)
    assert not set(held_out.owner.tolist()) & set(learned.owner.tolist())


@torch.no_grad()
def test_one_token_at_a_time_gives_what_all_at_once_give(ready):
    model, data = ready
    batch = data.batch(torch.arange(8))
    first = model.begin(torch.full((8, 1), torch.nan), batch.rooted)
    tokens = batch.tokens.clamp_min(0)
    together = model(first, tokens)
    cache, h = model.network.cache(8), first
    for place in range(tokens.shape[1]):
        if place == 3:  # some molecules have ended
            rows = torch.tensor([1, 4, 6])
            cache.keep(rows)
            h, together, tokens = h[rows], together[rows], tokens[rows]
        assert torch.allclose(model.head(model.network.step(h, cache)), together[:, place], atol=1e-4)
        h = model.tokens(tokens[:, place])


def test_draws_keep_to_the_likeliest():
    logits = torch.tensor([[2.0, 1.0, 0.0, 5.0]]).expand(4, -1).log_softmax(-1)
    allowed = torch.tensor([[True, True, True, False]]).expand(4, -1)
    uniform = torch.tensor([0.0, 0.6, 0.8, 1 - 1e-7])
    assert Decoding().draw(logits, allowed, uniform).tolist() == [0, 0, 1, 2]
    assert Decoding(top_k=1).draw(logits, allowed, uniform).tolist() == [0, 0, 0, 0]
    assert Decoding(top_p=0.7).draw(logits, allowed, uniform).tolist() == [0, 0, 1, 1]
    assert Decoding(temperature=0.01).draw(logits, allowed, uniform).tolist() == [0, 0, 0, 0]
    with pytest.raises(ConfigError, match="top_p"):
        Decoding(top_p=0.0)


@pytest.fixture(scope="module")
def smiles_model(table):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = GENERATORS.get("smiles")(**TINY, max_atoms=20)
    model.prepare(gather_sequences([table], model, None)[1])
    return model.eval()


@pytest.mark.parametrize(
    "fragment",
    ["c1ccccc1*", "*c1ccc(*)nc1", "O=*", "C1CC1(*)C(=O)N(*)C=*", "c1ccccc1*.C1CCNC1*", "CC(=O)N*.c1cc2c(cc1*)OCO2"],
)
def test_fragments_are_kept(smiles_model, fragment):
    made = smiles_model.sample_smiles([Request()] * 100, rng=Streams(0, "x"), fragment=fragment)
    settings = Chem.AdjustQueryParameters.NoAdjustments()
    settings.makeDummiesQueries = True
    for part in fragment.split("."):
        wanted = Chem.AdjustQueryProperties(Chem.MolFromSmiles(part), settings)
        assert all(Chem.MolFromSmiles(text).HasSubstructMatch(wanted) for text in made)
    assert len(set(made)) > 1


def test_linkers_have_at_least_the_wanted_length(smiles_model):
    made = smiles_model.sample_smiles([Request()] * 12, rng=Streams(0, "x"), fragment="F*.Br*", linker_atoms=(4, 4))
    for text in made:
        molecule = Chem.MolFromSmiles(text)
        assert molecule.GetNumHeavyAtoms() >= 6
        assert molecule.HasSubstructMatch(Chem.MolFromSmarts("F.Br"))


@pytest.mark.parametrize("fragment", ["c1ccccc1", "nonsense*", "C*.C*.C*", "*C*.C*", "[Na]*", "C" * 40 + "*"])
def test_unusable_fragments_are_refused(smiles_model, fragment):
    with pytest.raises(ConfigError):
        smiles_model.sample_smiles([Request()], rng=Streams(0, "x"), fragment=fragment)


def test_impossible_requests_are_refused(smiles_model):
    from matgen.constraints.specification import build_constraints

    with pytest.raises(ConfigError, match="not trained on qed"):
        smiles_model.sample(Request(target={"qed": 0.9}), rng=Streams(0, "x"))
    for spec, words in (({"elements": {"only": ["C"]}}, "hydrogen"), ({"n_elements": {"high": 3}}, "cannot act while")):
        masks = build_constraints([spec], role="mask")
        with pytest.raises(ConfigError, match=words):
            smiles_model.sample(Request(), rng=Streams(0, "x"), constraints=masks)


def test_training_resumes_and_samples_do_not_depend_on_workers(table, tmp_path, monkeypatch):
    def interrupt(step: int, steps: int, losses: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    plan = {"generator": "smiles", "config": TINY, "settings": SHORT, "validation": 0.1}
    whole = train(table, tmp_path / "a", **plan)
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert card["data"]["left_out"]["has several fragments"] == 1
    assert "validation_loss" in card["losses"]
    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path / "b", **plan, progress=interrupt)
    assert train(table, tmp_path / "b", **plan).fingerprint == whole.fingerprint
    monkeypatch.setattr(GENERATORS.get("smiles"), "chunk", 8)
    here = sample_smiles(tmp_path / "a", 20, seed=1, executor=Serial())
    with Pool(2) as pool:
        assert sample_smiles(tmp_path / "a", 20, seed=1, executor=pool).equals(here)
    made = sample(tmp_path / "a", 20, seed=1, executor=Serial())
    assert made.table[["id", "smiles"]].equals(here[["id", "smiles"]])


def test_molecules_without_a_conformer_are_rejected_with_the_reason(table, tmp_path, monkeypatch):
    from matgen.generators import layout

    def refuse(smiles: str, seed: int) -> None:
        raise DataError(f"no conformer found for {smiles}.")

    train(table, tmp_path / "a", generator="smiles", config=TINY, settings=SHORT, validation=0.1)
    options = {"conformers": True}
    made = sample(tmp_path / "a", 4, seed=1, options=options, executor=Serial())
    assert len(made) + len(made.rejected) == 4
    monkeypatch.setattr(layout, "embed", refuse)
    made = sample(tmp_path / "a", 4, seed=1, options=options, executor=Serial())
    assert len(made) == 0
    assert made.rejected["reason"].str.startswith("no conformer found").all()


def test_they_are_not_compared_on_crystals():
    from matgen.evaluate.comparison import families

    assert not {"smiles", "selfies"} & set(families())


def test_command_line_writes_tables_of_smiles(table, tmp_path):
    train(table, tmp_path / "m", generator="smiles", config=TINY, settings=SHORT, validation=0.1)
    runner = CliRunner()
    for name in ("new.csv", "new.smi"):
        done = runner.invoke(app, ["sample", str(tmp_path / "m"), "--n", "5", "--out", str(tmp_path / name), "--json"])
        assert done.exit_code == 0, done.output
    texts = pd.read_csv(tmp_path / "new.csv")["smiles"].tolist()
    assert texts == [line.split()[0] for line in (tmp_path / "new.smi").read_text().splitlines()]
    asked = ["sample", str(tmp_path / "m"), "--formula", "CH4", "--out", str(tmp_path / "new.csv")]
    assert isinstance(runner.invoke(app, asked).exception, ConfigError)
