"""Sentence vectors in 8-bit integers against those in floating point, and the batches that they are made in."""

import numpy as np
import pytest
import torch

from matgen.features import integers
from matgen.features.sentences import KEPT, LONGEST, batches, encoder

FRESH = [
    "We grow bismuth ferrite (BiFeO3) films of 40 nm on SrRuO3 by pulsed laser deposition at 670 °C.",
    "Nothing of the kind was seen.",
    "Which solvent dissolves lead iodide?",
    "The Chern number of the lowest band changes from 1 to 2 where the gap closes (U/t ≈ 4.6).",
    "Cathodes of LiFePO4 keep 94 % of 158 mAh/g after 1,000 cycles; see Refs. [12-15] and https://example.org/data.",
]


@pytest.fixture(scope="module")
def whole():
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        pytest.skip("this build of torch multiplies no integers")
    return integers.IntegerEncoder(encoder().folder)


def vectors(network, texts):
    """Unit vectors of texts, one at a time."""
    with torch.inference_mode():
        found = [network(torch.tensor([encoder().tokenizer.encode(t).ids]))[0].numpy() for t in texts]
    return np.stack([v / np.linalg.norm(v) for v in found])


def test_integers_agree_with_floating_point(whole):
    found, exact = vectors(whole, FRESH), encoder()(FRESH)
    assert (found * exact).sum(axis=1).min() > 0.985
    assert (
        np.abs(found @ found.T - exact @ exact.T).max() < 0.04
    )  # 0.02 with VNNI; without it, where the index does not use integers, 0.031


def test_a_vector_does_not_depend_on_its_batch(whole):
    tokens = [encoder().tokenizer.encode(t).ids[:9] for t in FRESH]
    with torch.inference_mode():
        together = whole(torch.tensor(tokens))
        alone = torch.cat([whole(torch.tensor([row])) for row in tokens])
    assert torch.nn.functional.cosine_similarity(together, alone).min() > 0.999


def test_the_longest_text_of_rare_signs_stays_finite(whole):
    assert np.isfinite(vectors(whole, ["∫ ŷ ⟨ψ|Ĥ|ψ⟩ " * LONGEST, "7 " * LONGEST, ""])).all()


def test_a_matrix_unit_is_preferred(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True, "amx_tile": True})
    assert not integers.supported()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not integers.supported()


def test_only_many_texts_are_made_in_integers_and_only_when_asked(monkeypatch):
    encode, asked = encoder(), []
    monkeypatch.setattr(encode, "_integers", lambda ids: asked.append(len(ids)) or torch.ones(len(ids), 384))
    few = encode(FRESH, rapid=True)
    times = KEPT // 4 // len(FRESH) + 1
    many = encode(FRESH * times)
    assert not asked
    assert (few * many[: len(FRESH)]).sum(axis=1).min() > 0.99
    encode(FRESH * times, rapid=True)
    assert sum(asked) == times * len(FRESH)


def test_batches_hold_texts_of_equal_length_once_each():
    lengths = np.random.default_rng(0).integers(3, 30, 500)
    found = batches(lengths, tokens=100)
    assert sorted(np.concatenate(found).tolist()) == list(range(500))
    assert all(len(set(lengths[rows])) == 1 and lengths[rows].sum() <= 100 for rows in found)
    assert [lengths[rows[0]] for rows in found] == sorted((lengths[rows[0]] for rows in found), reverse=True)


def test_states_of_texts_of_different_length_are_those_of_each_alone():
    states, mask = encoder().states(FRESH[:3])
    assert mask.sum(axis=1).tolist() == [len(encoder().tokenizer.encode(t).ids) for t in FRESH[:3]]
    for i, text in enumerate(FRESH[:3]):
        alone = encoder().states([text])[0][-1][0]
        assert np.abs(states[-1][i][mask[i]] - alone).max() < 1e-4
