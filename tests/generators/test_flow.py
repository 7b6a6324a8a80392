"""The flow generator: the battery, the symmetries of its network, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matgen.constraints.allowed_elements import NumberOfElements
from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.generators.choice import Choice
from matgen.generators.dense import Crystals
from matgen.generators.drawing import draw
from matgen.generators.flow import Flow
from matgen.generators.flow_sampler import Integration, integrate
from matgen.generators.paths import shortest
from matgen.runtime import Streams
from matgen.testing import check_generator
from matgen.training import Training, fit

TINY = {"width": 32, "layers": 2, "heads": 4, "channels": 8, "max_atoms": 8, "targets": ["band_gap"]}


@pytest.fixture(scope="module")
def flow(small_set):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Flow(**TINY)
    model.prepare(small_set)
    # Zero-initialised gates would hide a broken block.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.eval()


def _state(model, small_set, indices=(4, 5)):
    batch = small_set.batch(torch.tensor(indices))
    x = Crystals.of(batch)
    s = len(indices)
    t, given = torch.full((s,), 0.5), torch.zeros(s, dtype=torch.bool)
    return x, t, given, torch.zeros(s, dtype=torch.long), torch.full((s, 1), torch.nan)


def _run(model, x, t, given, group, targets, frac=None, order=None):
    numbers, positions, real = x.numbers, x.frac if frac is None else frac, x.real
    if order is not None:
        numbers, positions, real = numbers[:, order], positions[:, order], real[:, order]
    return model(numbers, positions, model.standardise(x.cell, x.real.sum(1)), real, t, given, group, targets)


@torch.no_grad()
def test_network_ignores_translation_and_lattice_vectors(flow, small_set):
    x, *rest = _state(flow, small_set)
    plain = _run(flow, x, *rest)
    moved = _run(flow, x, *rest, frac=(x.frac + torch.tensor([0.21, 0.4, 0.77])) % 1.0)
    jumped = _run(flow, x, *rest, frac=x.frac + torch.tensor([1.0, -2.0, 0.0]))
    for other in (moved, jumped):
        for a, b in zip(plain, other, strict=True):
            assert torch.allclose(a, b, atol=1e-4)


@torch.no_grad()
def test_network_follows_permutations(flow, small_set):
    x, *rest = _state(flow, small_set)
    order = torch.tensor([3, 0, 4, 1, 2])
    plain, permuted = _run(flow, x, *rest), _run(flow, x, *rest, order=order)
    assert torch.allclose(plain[0][:, order], permuted[0], atol=1e-4)
    assert torch.allclose(plain[1], permuted[1], atol=1e-4)
    assert torch.allclose(plain[2][:, order], permuted[2], atol=1e-3)


@torch.no_grad()
def test_padding_changes_nothing(flow, small_set):
    alone = _run(flow, *_state(flow, small_set, (0,)))
    beside = _run(flow, *_state(flow, small_set, (0, 4)))
    atoms = int(small_set.sizes[0])
    assert torch.allclose(alone[0][0], beside[0][0, :atoms], atol=1e-4)
    assert torch.allclose(alone[1][0], beside[1][0], atol=1e-4)


def test_battery(flow, small_set):
    check_generator(flow, small_set, n=3, steps=4)


def test_sample_does_not_depend_on_how_many_are_drawn(flow):
    few = from_batch(flow.sample(Request(n=2), rng=Streams(7, "flow"), steps=3))
    many = from_batch(flow.sample(Request(n=6), rng=Streams(7, "flow"), steps=3))
    later = from_batch(flow.sample(Request(n=1), rng=Streams(7, "flow", start=4), steps=3))
    for a, b in [*zip(few, many, strict=False), (later[0], many[4])]:
        assert a.composition == b.composition
        assert a.lattice.abc == pytest.approx(b.lattice.abc, rel=1e-3)


def test_requests_of_one_call_may_differ(flow):
    requests = [Request(formula="MgO", n_atoms=4), Request(chemical_system="Ba-O-Ti"), Request(n_atoms=3)]
    mgo, batio, three = from_batch(flow.sample_each(requests, rng=Streams(0, "flow"), steps=3))
    assert mgo.formula == "Mg2 O2"
    assert {el.symbol for el in batio.composition} == {"Ba", "Ti", "O"}
    assert len(three) == 3


def test_every_element_of_a_system_occurs_even_in_the_smallest_cell(flow):
    request = Request(n=20, chemical_system="Ba-O-Ti", n_atoms=3)
    for structure in from_batch(flow.sample(request, rng=Streams(1, "flow"), steps=3)):
        assert structure.composition.reduced_formula == "BaTiO"


def test_impossible_requests_are_refused(flow):
    with pytest.raises(ConfigError, match="fits the request"):
        flow.sample(Request(formula="Ca10P6O26H2"), rng=Streams(0, "flow"), steps=2)
    with pytest.raises(ConfigError, match="not trained on"):
        flow.sample(Request(target={"density": 3.0}), rng=Streams(0, "flow"), steps=2)


def choice(constraints=(), atoms=4, logits=0.0) -> Choice:
    real = torch.ones(1, atoms, dtype=torch.bool)
    none = torch.zeros(1, 119, dtype=torch.bool)
    scores = torch.full((1, atoms, 119), logits)
    return Choice(real, ~real, torch.rand(1, atoms), scores, torch.zeros_like(scores), none, constraints)


def test_reveal_refuses_when_nothing_is_left():
    nothing = choice(logits=-torch.inf)
    with pytest.raises(ConfigError, match="no element to choose"):
        nothing.reveal(torch.zeros(1, 4, dtype=torch.long), nothing.real, [np.random.default_rng(0)])


def test_elements_are_drawn_anew_where_masks_meet_in_a_dead_end():
    # One kind of atom each, and neutral: the first two of three elements rarely leave a third that balances them.
    masks = build_constraints(
        [{"elements": {"only": ["Li", "Al", "N", "O", "Si"]}}, {"n_elements": {"low": 3, "high": 3}}, "charge_neutral"],
        role="mask",
    )
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = choice(masks, atoms=3)
        found.gumbel.copy_(torch.from_numpy(rng.gumbel(size=(1, 3, 119))))
        numbers = found.reveal(torch.zeros(1, 3, dtype=torch.long), found.real, [rng])
        assert masks[2].permits(numbers[0].numpy())
        assert len(set(numbers[0].tolist())) == 3


def test_target_moves_the_prediction_and_its_absence_does_not(flow, small_set):
    x, t, given, group, absent = _state(flow, small_set)
    with torch.no_grad():
        free = _run(flow, x, t, given, group, absent)
        low = _run(flow, x, t, given, group, torch.full((2, 1), -1.0))
        high = _run(flow, x, t, given, group, torch.full((2, 1), 1.0))
    assert not torch.allclose(low[0], high[0])
    assert not torch.allclose(free[0], high[0])


def test_training_learns_two_crystals(small_set, tmp_path):
    two = small_set.part(torch.tensor([0, 4]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Flow(**TINY)
    model.prepare(two)
    settings = Training(steps=120, atoms=60, lr=3e-3, warmup=10, ema=0.9, precision="32-true", save_every=60)
    many = two.part(torch.tensor([0, 1] * 8))
    average = fit(model, many, tmp_path, settings)
    batch = many.batch(torch.arange(16))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = Flow(**TINY)
    untrained.prepare(two)
    before, after = (m.loss(batch, torch.Generator().manual_seed(9))["element"] for m in (untrained, average))
    assert after < 0.5 * before


def test_sizes_for_which_the_constraints_leave_no_element_are_not_drawn(flow):
    several = NumberOfElements(low=3)
    batch = flow.sample(Request(n=40), rng=Streams(0, "sizes"), constraints=[several], steps=2)
    assert all(len(s.composition.elements) >= 3 for s in from_batch(batch))
    with pytest.raises(ConfigError, match="leave no element"):
        flow.sample(Request(n=1, n_atoms=2), rng=Streams(0, "sizes"), constraints=[several], steps=2)


@pytest.mark.parametrize("capped", [True, False])
def test_a_cap_ends_strong_annealing_where_the_velocity_points(flow, capped):
    request = Request(formula="NaCl", n_atoms=2)
    draws = [draw(flow, request, np.random.default_rng(i), [2]) for i in range(4)]
    goal = torch.tensor([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])

    def predict(numbers, frac, cell, real, t):
        left = (1 - t).clamp_min(1e-3)[:, None, None]
        return shortest(goal - frac) / left, torch.zeros_like(cell), torch.zeros(*numbers.shape, 119)

    made = integrate(flow, draws, predict, Integration(steps=10, annealing=30.0, capped=capped))
    missed = shortest(made.frac - goal).abs().max().item()
    assert (missed < 1e-5) == capped
