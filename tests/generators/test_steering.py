"""Guidance by penalties and projection on symmetry inside the samplers of flow and diffusion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from pymatgen.core import Composition, Lattice, Structure

from matgen.constraints.minimum_distance import MinDistance
from matgen.constraints.packing import Density, VolumePerAtom
from matgen.constraints.specification import build_acting
from matgen.data.request import Request
from matgen.data.structures import from_batch, to_batch
from matgen.data.symmetry import space_group_number
from matgen.errors import ConfigError
from matgen.generators.dense import Crystals
from matgen.generators.diffusion import Diffusion
from matgen.generators.flow import Flow
from matgen.generators.guidance import BEGIN, Guidance, due
from matgen.generators.steering import Steering
from matgen.runtime import Streams

TINY = {"width": 32, "layers": 2, "heads": 4, "channels": 8, "max_atoms": 12}
STEPS = 4


@pytest.fixture(scope="module", params=[Flow, Diffusion])
def model(request, small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = request.param(**TINY)
    made.prepare(small_set)
    return made.eval()


def draw(model, constraints=(), seed=0, steps=STEPS, **asked):
    batch = model.sample(Request(**asked), rng=Streams(seed, "steering"), constraints=constraints, steps=steps)
    return batch, from_batch(batch)


def state(model, structures):
    x = Crystals.of(to_batch(structures))
    return x.numbers, x.frac.double(), model.standardise(x.cell, x.real.sum(1)).double(), x.real


def test_a_step_brings_two_atoms_apart_along_their_line(model):
    pair = Structure(Lattice([[6, 0, 0], [2, 6, 0], [0, 1, 7]]), ["Na", "Cl"], [[0, 0, 0], [0.2, 0, 0]])
    apart = Structure(Lattice.cubic(6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    near = MinDistance(absolute=2.0)
    numbers, frac, cell, real = state(model, [pair, apart])
    moved, changed = Guidance.of(model, [near], 1.5).displacement(numbers, frac, cell, real)
    cartesian = moved[0] @ torch.tensor(pair.lattice.matrix)
    assert torch.allclose(cartesian[0], -cartesian[1], atol=1e-9)
    assert cartesian[1, 0] > 0.1
    assert cartesian[:, 1:].abs().max() < 0.05
    assert not moved[1].any()
    assert not changed[1].any()


@pytest.mark.parametrize("wish", [Density(low=8.0, high=9.0), VolumePerAtom(low=30.0, high=31.0)])
def test_finished_cells_settle_within_a_window(model, wish):
    _, free = draw(model, n=4)
    _, guided = draw(model, [wish], n=4)
    assert not wish.check(free).passed.all()
    assert wish.check(guided).passed.all()
    assert [s.composition for s in free] == [s.composition for s in guided]


def test_guidance_keeps_atoms_apart_and_can_be_switched_off(model):
    near = MinDistance(absolute=1.6)
    failing = [near.check(draw(model, rules, n=12, n_atoms=6)[1]).passed.sum() for rules in ([], [near])]
    assert failing[1] > failing[0]
    off = model.sample(Request(n=4), rng=Streams(0, "off"), constraints=[near], steps=3, steering=0.0)
    plain = model.sample(Request(n=4), rng=Streams(0, "off"), steps=3)
    assert torch.equal(off.frac, plain.frac)


@pytest.mark.parametrize("group", [1, 2, 12, 62, 139, 148, 194, 225])
def test_the_space_group_is_exactly_the_one_asked_for(model, group):
    batch, made = draw(model, n=2, space_group=group)
    assert [space_group_number(s, 0.01) for s in made] == [group, group]
    assert [space_group_number(s, 1e-4) for s in made] == [group, group]
    assert (batch.attempts >= 1).all()


def test_symmetry_goes_with_formula_system_masks_and_guidance(model):
    rules = build_acting([{"elements": {"only": ["Mg", "Ti", "Sr", "O"]}}, {"min_distance": {"absolute": 1.0}}])
    _, made = draw(model, rules, n=4, space_group=221, formula="SrTiO3")
    assert {s.composition.reduced_formula for s in made} == {"SrTiO3"}
    _, made = draw(model, n=4, space_group=225, chemical_system="Mg-O")
    assert all({e.symbol for e in s.composition} == {"Mg", "O"} for s in made)
    _, made = draw(model, rules, n=4, space_group=139, n_atoms=5)
    assert all(len(s) == 5 and rules[0].check([s]).passed[0] for s in made)
    assert all(space_group_number(s, 0.01) == 139 for s in made)


def test_neutral_crystals_of_a_space_group(model):
    (neutral,) = build_acting(["charge_neutral"])
    _, made = draw(model, [neutral], n=3, space_group=225)
    assert neutral.check(made).passed.all()
    assert all(space_group_number(s, 0.01) == 225 for s in made)


def test_a_space_group_without_room_is_refused(model):
    with pytest.raises(ConfigError, match="no arrangement"):
        draw(model, n=1, space_group=227, n_atoms=3)


def test_samples_in_a_group_do_not_depend_on_how_many_are_drawn(model):
    _, few = draw(model, n=2, space_group=62)
    _, many = draw(model, n=4, space_group=62)
    for a, b in zip(few, many, strict=False):
        assert a.composition == b.composition
        assert np.allclose(a.lattice.abc, b.lattice.abc, rtol=1e-3)


def test_without_wishes_nothing_is_steered(model):
    structure = Structure(Lattice.cubic(4), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    numbers, frac, cell, real = state(model, [structure])
    steering = Steering(model, real, Guidance.of(model, [], 1.5), None)
    assert steering.correction((frac, cell), numbers, torch.zeros(1, 2, 119), 0.9, 1.0) is None
    kept = steering.keep(frac, frac + 0.1, cell)
    assert torch.equal(kept[0], frac + 0.1)
    assert Composition(from_batch(steering.finish(numbers, frac, cell).batch())[0].formula) == structure.composition


def test_occupations_may_come_from_a_generator(model):
    asked = Request(n=2, space_group=194, formula="GaN")
    batch = model.sample(asked, rng=Streams(0, "source"), steps=2, occupations="random-symmetric")
    assert [space_group_number(s, 0.01) for s in from_batch(batch)] == [194, 194]
    with pytest.raises(ConfigError, match="cannot honour 'space_group'"):
        model.sample(asked, rng=Streams(0, "source"), steps=2, occupations="vae-mp20")


@pytest.mark.parametrize(
    "spec",
    [
        {"space_group": {"numbers": [62, 225]}},
        {"crystal_system": {"systems": ["tetragonal"]}},
        {"wyckoff": {"required": ["Ti b"], "space_group": 221}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_wishes_for_symmetry_act_as_projections(model, spec):
    acting = build_acting([spec, {"elements": {"forbidden": ["O"]}}])
    model.require_usable(acting)
    batch, made = draw(model, acting, n=3)
    assert all(constraint.check(made).passed.all() for constraint in acting)
    assert batch.attempts.tolist() >= [1, 1, 1]
    assert {space_group_number(s, 0.01) for s in made} <= acting[0].groups


def test_the_wyckoff_transformer_proposes_occupations_and_keeps_masks(model):
    neutral = build_acting(["charge_neutral", {"elements": {"only": ["Li", "Mg", "O", "F"]}}])
    how = {"steps": 2, "occupations": "gpt-mp20"}
    batch = model.sample(Request(n=3, space_group=225), rng=Streams(2, "source"), constraints=neutral, **how)
    made = from_batch(batch)
    assert [space_group_number(s, 0.01) for s in made] == [225, 225, 225]
    assert all(constraint.check(made).passed.all() for constraint in neutral)


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 10, 50, 64])
def test_corrections_come_at_most_once_in_an_eighth_and_the_last_one_is_whole(steps):
    times = np.linspace(0, 1, steps + 1).tolist()
    shares = [(now, due(now, then)) for now, then in pairwise(times)]
    acting = [share for now, share in shares if share]
    assert len(acting) <= 4
    assert all(now >= BEGIN for now, share in shares if share)
    if steps > 1:
        assert acting[-1] == pytest.approx(1.0)
