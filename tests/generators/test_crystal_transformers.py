"""The causal and the masked transformer of crystals: the battery, exact requests, prompts, learning and filling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.errors import ConfigError
from matgen.generators.base import load_generator
from matgen.generators.bert import CrystalBERT
from matgen.generators.crystal_sequences import CrystalSequences, encode_structures
from matgen.generators.filling import embed_crystals, equivalent_sites, fill_site
from matgen.generators.gpt import CrystalGPT
from matgen.runtime import Streams
from matgen.testing import check_generator, check_loss
from matgen.training import Training, fit

TINY = {"width": 32, "layers": 2, "heads": 4, "max_atoms": 8}


@pytest.fixture(scope="module")
def sequences(textbook):
    _, encoded, _ = encode_structures(textbook, 8, 112)
    return CrystalSequences.build(encoded, {"band_gap": [float(i) for i in range(len(encoded))]})


@pytest.fixture(scope="module")
def gpt(sequences, tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CrystalGPT(**TINY, targets=["band_gap"], dropout=0.0)
    model.prepare(sequences)
    settings = Training(steps=120, atoms=256, lr=5e-3, warmup=10, ema=0.9, precision="32-true", save_every=100)
    return fit(model, sequences, tmp_path_factory.mktemp("gpt"), settings).eval()


@pytest.fixture(scope="module")
def bert(sequences, tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CrystalBERT(**TINY)
    settings = Training(steps=150, atoms=256, lr=5e-3, warmup=10, ema=0.9, precision="32-true", save_every=150)
    return fit(model, sequences, tmp_path_factory.mktemp("bert"), settings).eval()


def _draw(model, request, seed=0, **options):
    batch = model.sample(request, rng=Streams(seed, model.name), **options)
    return from_batch(batch)


def test_the_causal_one_stands_the_battery(gpt):
    check_generator(gpt, n=3)


def test_the_masked_one_stands_the_battery(bert):
    check_generator(bert, n=2)


def test_the_masked_one_keeps_masks_on_kinds_of_several_atoms(bert):
    rules = build_constraints(
        [{"required_elements": {"required": ["O", "Ti"]}}, "charge_neutral", {"n_atoms": {"low": 3, "high": 8}}],
        role="mask",
    )
    batch = bert.sample(Request(n=3), rng=Streams(0, "bert"), constraints=rules)
    assert all(rule.check(from_batch(batch)).passed.all() for rule in rules)
    assert (batch.attempts >= 1).all()
    with pytest.raises(ConfigError, match="no number of atoms or element"):
        bert.sample(Request(n=1), rng=Streams(0, "bert"), constraints=build_constraints([{"n_atoms": {"low": 9}}]))


@pytest.mark.parametrize("kind", [CrystalGPT, CrystalBERT])
def test_the_loss_repeats_and_has_gradients(kind, sequences):
    check_loss(kind(**TINY), sequences)


def test_the_causal_one_learns_what_it_is_shown(gpt, textbook):
    made = _draw(gpt, Request(20))
    known = {s.composition.reduced_formula for s in textbook}
    assert sum(s.composition.reduced_formula in known for s in made) >= 6
    groups = [space_group_number(s, REFINED_SYMPREC) for s in made]
    assert sum(g in (221, 225, 227) for g in groups) >= 16


def test_the_space_group_is_met_by_the_shipped_model():
    requests = [Request(space_group=group) for group in (2, 14, 62, 139, 166, 194, 221)]
    made = from_batch(load_generator("gpt-mp20").sample_each(requests, rng=Streams(0, "gpt")))
    assert [space_group_number(s, REFINED_SYMPREC) for s in made] == [2, 14, 62, 139, 166, 194, 221]


def test_the_proposed_occupation_holds_the_formula(gpt):
    requests = [Request(formula="SrTiO3", space_group=221)] * 3
    for found in gpt.propose_occupations(requests, rng=Streams(1, "gpt")):
        assert found.group == 221
        elements, counts = np.unique(found.numbers, return_counts=True)
        assert elements.tolist() == [8, 22, 38]
        assert (counts / counts[1]).tolist() == [3, 1, 1]


def test_neutral_formulas_only(gpt):
    constraints = build_constraints(["charge_neutral"])
    made = from_batch(gpt.sample(Request(20), rng=Streams(2, "gpt"), constraints=constraints))
    assert constraints[0].check(made).passed.all()


def test_a_begun_crystal_is_continued(gpt):
    made = gpt.sample_crystals([Request()] * 4, rng=Streams(3, "gpt"), start="221: Ba a, O c")
    for crystal in made:
        assert crystal.group == 221
        assert {(56, "a"), (8, "c")} <= {(orbit.element, orbit.letter) for orbit in crystal.orbits}


def test_examples_give_prototypes(gpt, textbook):
    made = gpt.sample_crystals([Request()] * 4, rng=Streams(3, "gpt"), examples=[textbook[5]])
    for crystal in made:
        assert crystal.group == 221
        assert sorted(crystal.counts.values()) == [1, 1, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temprature": 1.0}, "temprature"),
        ({"start": "225"}, "start"),
        ({"start": "225: Mg q"}, "Wyckoff"),
    ],
)
def test_senseless_options_are_refused(gpt, options, words):
    with pytest.raises(ConfigError, match=words):
        _draw(gpt, Request(1), **options)


def test_training_goes_on_where_it_stopped(sequences, tmp_path):
    def trained(folder, *steps):
        for n in steps:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = CrystalGPT(**TINY)
            settings = Training(steps=8, atoms=64, warmup=2, precision="32-true", save_every=n)
            if n < 8:
                try:
                    fit(model, sequences, folder, settings, progress=_stop_at(n))
                except KeyboardInterrupt:
                    continue
            average = fit(model, sequences, folder, settings)
        return average

    whole, halved = trained(tmp_path / "whole", 8), trained(tmp_path / "halved", 4, 8)
    for a, b in zip(whole.parameters(), halved.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def _stop_at(step):
    def progress(done, steps, losses):
        if done > step:
            raise KeyboardInterrupt

    return progress


def test_a_site_is_filled_with_what_was_seen_there(bert, textbook):
    perovskite = textbook[4]
    oxygen = next(i for i, site in enumerate(perovskite) if site.specie.symbol == "O")
    found = fill_site(perovskite, oxygen, bert)
    assert found.elements["element"][0] == "O"
    assert found.elements["probability"].sum() == pytest.approx(1.0)
    assert found.space_group == 221
    assert len(found.orbit) == 3
    assert found.letters["probability"].sum() == pytest.approx(1.0)
    assert found.letters["is_there"].sum() == 1


def test_filling_does_not_see_the_element_that_is_there(bert, textbook):
    other = textbook[4].copy()
    site = next(i for i, s in enumerate(other) if s.specie.symbol == "Sr")
    before = fill_site(other, site, bert).elements.drop(columns="is_there")
    other.replace(site, "Ba")
    assert fill_site(other, site, bert).elements.drop(columns="is_there").equals(before)


def test_equivalent_sites_of_a_conventional_cell(textbook):
    conventional = textbook[0].copy()
    conventional.make_supercell(2)
    magnesium = [i for i, site in enumerate(conventional) if site.specie.symbol == "Mg"]
    assert equivalent_sites(conventional, magnesium[0]) == tuple(magnesium)


def test_embeddings_do_not_depend_on_cell_and_origin(bert, textbook):
    moved = textbook[4].copy().translate_sites([0, 1, 2, 3, 4], [0.2, 0.3, 0.1])
    a, b, c = embed_crystals([textbook[4], moved, textbook[0]], bert)
    assert np.allclose(a, b, atol=1e-3)
    assert not np.allclose(a, c, atol=1e-2)


def test_a_site_that_is_not_there_is_refused(bert, textbook):
    with pytest.raises(ConfigError, match="site 9"):
        fill_site(textbook[0], 9, bert)
