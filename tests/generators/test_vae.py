"""The variational autoencoder: the battery, what its code does not depend on, and decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from pymatgen.transformations.standard_transformations import RotationTransformation

from matgen.data.batches import canonical
from matgen.data.request import Request
from matgen.data.structures import from_batch, to_batch
from matgen.generators.base import load_generator
from matgen.generators.vae import VAE
from matgen.generators.vae_chemistry import Chemistry, element_counts, exchanged, neighbours
from matgen.generators.vae_decoding import apportion
from matgen.runtime import Streams
from matgen.testing import check_generator

TINY = {"width": 16, "layers": 1, "heads": 2, "channels": 4, "max_atoms": 8, "targets": ["band_gap"]}
TINY_CODE = {"code": 6, "chemistry": 3, "encoder_width": 12, "encoder_layers": 2, "neighbours": 8}


@pytest.fixture(scope="module")
def vae(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(**TINY, **TINY_CODE)
    model.prepare(small_set)
    return model.eval()


def test_battery(vae, small_set):
    check_generator(vae, small_set, n=3, steps=2, candidates=8)


def test_code_does_not_depend_on_order_place_rotation_or_choice_of_cell(vae, textbook):
    for crystal in (textbook[4], textbook[0]):
        order = np.random.default_rng(0).permutation(len(crystal))
        permuted = Structure.from_sites([crystal[int(i)] for i in order])
        moved = crystal.copy().translate_sites(range(len(crystal)), [0.13, 0.57, 0.91])
        turned = RotationTransformation([1, 2, 3], 40).apply_transformation(crystal)
        sheared = crystal.copy().make_supercell([[1, 1, 0], [0, 1, 0], [1, 0, 1]], in_place=False)
        codes = vae.encode(to_batch([crystal, permuted, moved, turned, sheared]))
        assert torch.allclose(codes, codes[:1].expand_as(codes), atol=1e-3)


def test_code_tells_crystals_apart_and_not_beside_what_they_lie(vae, textbook):
    codes = vae.encode(to_batch(textbook[:6]))
    alone = vae.encode(to_batch([textbook[4]]))
    assert torch.allclose(codes[4], alone[0], atol=1e-5)
    assert torch.cdist(codes, codes).fill_diagonal_(1).min() > 1e-4


def test_codes_decode_one_by_one_and_repeat(vae, small_set):
    codes = vae.encode_prepared(small_set.batch(torch.arange(4)))
    first, second = (from_batch(vae.decode(codes, rng=Streams(0, "x"), steps=2)) for _ in range(2))
    assert first == second
    later = from_batch(vae.decode(codes[2:3], rng=Streams(0, "x", start=2), steps=2))
    assert later[0].composition == first[2].composition
    wanted = from_batch(vae.decode(codes, rng=Streams(0, "x"), requests=[Request(formula="MgO")] * 4, steps=2))
    assert {s.composition.reduced_formula for s in wanted} == {"MgO"}
    assert vae.properties(codes)["band_gap"].shape == (4,)


def test_second_stage_learns_size_composition_and_property_of_every_code(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(**TINY, **TINY_CODE)
    model.prepare(small_set)
    with torch.no_grad():  # spread the codes of an untrained encoder, and take their noise away
        for readout in (model.encoder.readout, model.chemistry.readout):
            readout[2].weight[:3].mul_(30)
            readout[2].bias[3:].fill_(-9.0)
    encoder = {name: value.clone() for name, value in model.encoder.named_parameters()}
    everything = small_set.batch(torch.arange(len(small_set)))
    before = _read(model, everything)
    model.finish(small_set, torch.Generator().manual_seed(0), steps=300, batch=64)
    after = _read(model, everything)
    assert all(torch.equal(value, encoder[name]) for name, value in model.encoder.named_parameters())
    shares = element_counts(everything) / element_counts(everything).sum(1, keepdim=True)
    entropy = -torch.special.xlogy(shares, shares).sum(-1).mean()
    assert after["composition"] - entropy < 0.3 * (before["composition"] - entropy)
    assert after["size"] < 0.5 * before["size"]
    assert after["property"] < 0.5 * before["property"]


@torch.no_grad()
def _read(model, batch):
    codes = model.encode_prepared(batch)
    read = model.chemistry.losses(codes, element_counts(batch))
    return {**read, "property": model.property_loss(codes, model.targets_of(batch))}


def test_composition_and_geometry_lie_apart_in_the_code(vae, textbook):
    codes = vae.encode(to_batch(textbook[:6]))
    strained = [s.copy() for s in textbook[:6]]
    for s in strained:
        s.apply_strain(0.05)
    other = vae.encode(to_batch(strained))
    assert torch.allclose(codes[:, :3], other[:, :3], atol=1e-5)
    assert (codes[:, 3:] - other[:, 3:]).abs().amax(1).min() > 1e-4
    children = vae.crossed(codes, codes.flip(0))
    made = from_batch(vae.decode(children, rng=Streams(0, "x"), steps=2))
    alone = from_batch(vae.decode(codes, rng=Streams(0, "x"), steps=2))
    assert [s.composition for s in made] == [s.composition for s in alone]


def test_neighbours_of_a_composition_keep_its_size():
    counts = torch.zeros(119)
    counts[8], counts[22], counts[38] = 3, 1, 1
    found = neighbours(counts, torch.tensor([8, 9, 22, 38, 56]))
    assert (found.sum(1) == 5).all()
    assert (found >= 0).all()
    wanted = [{9: 3, 22: 1, 38: 1}, {8: 3, 22: 1, 56: 1}, {8: 2, 22: 2, 38: 1}, {8: 1, 22: 3, 38: 1}]
    rows = {tuple(row) for row in found.int().tolist()}
    for composition in wanted:
        assert tuple(composition.get(z, 0) for z in range(119)) in rows


def test_codes_decode_to_the_composition_they_were_made_of():
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chemistry = Chemistry(8, 12, width=24)
    elements = torch.tensor([3, 8, 9, 12, 22, 38, 56])
    counts = torch.zeros(40, 119)
    for row in counts:
        chosen = elements[torch.randperm(7, generator=rng)[:3]]
        row[chosen] = torch.randint(1, 5, (3,), generator=rng).float()
    codes = chemistry(counts)[0]
    found = torch.stack([chemistry.nearest(code, row, elements) for code, row in zip(codes, counts, strict=True)])
    assert torch.equal(found, counts)
    one = neighbours(counts[0], elements)
    back = torch.stack([chemistry.nearest(codes[0], row, elements) for row in one[:20]])
    assert (back == counts[0]).all(1).float().mean() > 0.6  # of an untrained network


def test_elements_are_exchanged_without_a_change_of_size():
    counts = torch.zeros(400, 119)
    counts[:, 8], counts[:, 22], counts[:, 38] = 3, 1, 1
    elements = torch.zeros(119)
    elements[[9, 38]] = 1.0
    made = exchanged(counts, elements, torch.Generator().manual_seed(0))
    assert torch.equal(made.sum(1), counts.sum(1))
    assert set(made.nonzero()[:, 1].tolist()) == {8, 9, 22, 38}
    assert 0.4 < float((made == counts).all(1).float().mean()) < 0.75


def test_shares_become_whole_atoms_by_largest_remainders():
    share = np.zeros(119)
    share[[8, 22, 38]] = 0.58, 0.22, 0.2
    assert apportion(share, 5).tolist() == [8, 8, 8, 22, 38]
    assert len(apportion(share, 7)) == 7


def test_the_graph_of_a_canonical_cell_has_the_shells_of_rock_salt(vae, rocksalt):
    batch = to_batch([canonical(rocksalt)])
    edges, vectors, weights = vae.encoder.graph(batch)
    nearest = vectors.norm(dim=-1).view(2, -1)[:, :6]
    assert torch.allclose(nearest, torch.full_like(nearest, 3.99 / 2**0.5), atol=1e-3)
    assert edges.shape == (2, 16)
    assert weights.min() >= 0


def test_shipped_codes_hold_the_composition(textbook):
    model = load_generator("vae-mp20")
    small = [s for s in textbook if len(s) <= 20][:8]
    made = from_batch(model.reconstruct(to_batch(small), rng=Streams(0, "x"), steps=4))
    right = sum(
        a.composition.reduced_formula == b.composition.reduced_formula for a, b in zip(made, small, strict=True)
    )
    assert right >= 6
