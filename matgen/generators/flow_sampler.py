"""Sampling from a flow model: what is asked, the noise of each sample, and the integration.

Shapes: S systems, A atoms (padded), T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.core import Composition, Element
from torch_geometric.data import Batch

from matgen.errors import ConfigError
from matgen.generators.dense import Crystals
from matgen.generators.masks import masking, open_elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import Data

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.flow import Flow
    from matgen.runtime import Streams

CHUNK = 128
"""Samples that are integrated together; fixed, so that results do not depend on shards or workers."""


@dataclass(frozen=True)
class Draws:
    """Everything random about one sample, from its own stream.

    Args:
        request: What is asked of this sample.
        size: A, number of atoms.
        group: Space group that conditions the model, 0 for none.
        numbers: (A,) atomic numbers where the composition is given, else 0.
        frac: (A, 3) uniform.
        cell: (6,) standard normal.
        clock: (A,) uniform, when each element is revealed.
        gumbel: (A, 119) standard Gumbel, which element is chosen.
        stream: The rest of the stream, for the noise of the churned sampler.
    """

    request: Request
    size: int
    group: int
    numbers: np.ndarray
    frac: np.ndarray
    cell: np.ndarray
    clock: np.ndarray
    gumbel: np.ndarray
    stream: np.random.Generator


@dataclass(frozen=True)
class Integration:
    """How the flow is integrated from noise to crystals, with Euler steps.

    Args:
        steps: Network evaluations (twice as many when targets are given).
        annealing: s in f ← f + (1 + s t) v dt, which sharpens coordinates at late times ("anti-annealing",
            Bose et al., arXiv:2310.02391; for crystals FlowMM).
        churn: Noise added to the coordinates in each step, as a multiple of (1 - t) dt^(1/2).
        temperature: Of the element probabilities; below 1 favours common chemistry. At 0.7 samples have as many
            different elements as the training data.
        guidance: Strength of classifier-free guidance towards targets (Ho & Salimans, arXiv:2207.12598).
    """

    steps: int = 50
    annealing: float = 4.0
    churn: float = 0.0
    temperature: float = 0.7
    guidance: float = 2.0


@torch.no_grad()
def sample_flow(
    model: Flow,
    requests: Sequence[Request],
    integration: Integration,
    *,
    rng: Streams,
    constraints: Sequence[Constraint] = (),
) -> Batch:
    """Draw one crystal for each request.

    Args:
        model: A trained flow.
        requests: What is asked of each sample; their ``n`` is not looked at.
        integration: How.
        rng: Streams by sample index.
        constraints: Those with a ``mask`` restrict the elements; a violation has probability zero.
    """
    masks = masking(constraints)
    open_sizes = [a for a in range(1, model.max_atoms + 1) if not masks or open_elements(a, masks).any()]
    streams = rng.many(len(requests))
    draws = [draw(model, request, stream, open_sizes) for request, stream in zip(requests, streams, strict=True)]
    order = sorted(range(len(draws)), key=lambda i: draws[i].size)
    done: dict[int, Data] = {}
    for begin in range(0, len(order), CHUNK):
        chunk = order[begin : begin + CHUNK]
        crystals = _integrate(model, [draws[i] for i in chunk], integration, constraints)
        done.update(zip(chunk, crystals.systems(), strict=True))
    return Batch.from_data_list([done[i] for i in range(len(draws))])


def draw(model: Flow, request: Request, stream: np.random.Generator, open_sizes: Sequence[int]) -> Draws:
    """Draw size, space group, composition (where given) and noise of one sample.

    Args:
        model: A trained flow.
        request: What is asked.
        stream: The sample's own.
        open_sizes: Numbers of atoms for which the constraints leave a choice of elements.
    """
    unit = _formula_unit(request)
    sizes = _allowed_sizes(model, request, len(unit), open_sizes)
    prior = model.prior.cpu().double().numpy()[sizes]
    weights = (prior + 1e-9).ravel() / (prior + 1e-9).sum()
    size_index, group = divmod(int(stream.choice(len(weights), p=weights)), prior.shape[1])
    size = int(sizes[size_index])
    numbers = np.tile(unit, size // len(unit)) if len(unit) else np.zeros(size, dtype=int)
    return Draws(
        request=request,
        size=size,
        group=0 if len(unit) else group,
        numbers=numbers,
        frac=stream.random((size, 3)),
        cell=stream.standard_normal(6),
        clock=stream.random(size),
        gumbel=stream.gumbel(size=(size, 119)),
        stream=stream,
    )


def _formula_unit(request: Request) -> np.ndarray:
    if request.formula is None:
        return np.zeros(0, dtype=int)
    composition = Composition(request.formula)
    if request.n_atoms is None:
        composition = composition.reduced_composition
    return np.array([el.Z for el, amount in sorted(composition.items()) for _ in range(round(amount))])


def _allowed_sizes(model: Flow, request: Request, unit: int, open_sizes: Sequence[int]) -> np.ndarray:
    sizes = np.flatnonzero(model.prior.sum(1).cpu().numpy())
    if request.n_atoms is not None:
        sizes = np.array([request.n_atoms]) if request.n_atoms <= model.max_atoms else np.zeros(0, dtype=int)
    if unit:
        multiples = sizes[sizes % unit == 0]
        sizes = multiples if len(multiples) or unit > model.max_atoms else np.array([unit])
    sizes = sizes[sizes >= len(request.elements)]
    if len(sizes) and not unit and not np.isin(sizes, open_sizes).any():
        raise ConfigError("the request and the constraints leave no element to choose.", where="constraints")
    sizes = sizes if unit else sizes[np.isin(sizes, open_sizes)]
    if not len(sizes):
        raise ConfigError(
            f"no cell of at most {model.max_atoms} atoms fits the request.",
            where="formula" if unit else "n_atoms",
            fix="Ask for a smaller cell, or use the 'retrieval' generator.",
        )
    return sizes


def _integrate(model: Flow, draws: Sequence[Draws], how: Integration, constraints: Sequence[Constraint]) -> Crystals:
    x = _start(model, draws)
    clock = _padded([d.clock for d in draws], x.real, fill=2.0)
    gumbel = _padded([d.gumbel for d in draws], x.real)
    given = torch.tensor([d.request.formula is not None for d in draws])
    group = torch.tensor([d.group for d in draws])
    wanted = _wanted(draws)
    targets = torch.cat([_targets(model, d.request) for d in draws])
    absent = model.elements == 0
    numbers, frac, cell = x.numbers, x.frac, x.cell
    times = torch.linspace(0, 1, how.steps + 1).tolist()
    for now, then in pairwise(times):
        if how.churn and now > 0:
            frac = (frac + how.churn * (1 - now) * (then - now) ** 0.5 * _normal(draws, x.real)) % 1.0
        t = torch.full((len(draws),), now)
        v_frac, v_cell, logits = _guided(model, (numbers, frac, cell, x.real, t, given, group), targets, how.guidance)
        frac = (frac + (1 + how.annealing * now) * (then - now) * v_frac) % 1.0
        cell = cell + (then - now) * v_cell
        due = x.real & (numbers == 0) & ((clock * model.reveal_end < then) | (then == 1.0))
        logits = logits.masked_fill(absent, -torch.inf) / how.temperature + gumbel
        numbers = reveal(numbers, x.real, due, clock, logits, wanted, constraints)
    return Crystals(numbers, frac, model.restore(cell, x.real.sum(1)), x.real)


def _start(model: Flow, draws: Sequence[Draws]) -> Crystals:
    widest = max(d.size for d in draws)
    real = torch.arange(widest)[None] < torch.tensor([d.size for d in draws])[:, None]
    numbers = _padded([d.numbers for d in draws], real).long()
    frac = _padded([d.frac for d in draws], real)
    return Crystals(numbers, frac, torch.from_numpy(np.stack([d.cell for d in draws])).float(), real)


def _guided(model: Flow, state: tuple[Tensor, ...], targets: Tensor, guidance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Extrapolate from the prediction without targets through the one with them."""
    conditional = model(*state, targets)
    if targets.isnan().all() or guidance == 1.0:
        return conditional[0], conditional[1], conditional[2]
    free = model(*state, torch.full_like(targets, torch.nan))
    frac, cell, logits = (f + guidance * (c - f) for f, c in zip(free, conditional, strict=True))
    return frac, cell, logits


def reveal(
    numbers: Tensor,
    real: Tensor,
    due: Tensor,
    clock: Tensor,
    logits: Tensor,
    wanted: Tensor,
    constraints: Sequence[Constraint],
) -> Tensor:
    """Decide the elements that are due, one atom a system at a time so that every mask sees those before.

    Args:
        numbers: (S, A), 0 where undetermined.
        real: (S, A).
        due: (S, A) atoms whose element is decided now.
        clock: (S, A) the order.
        logits: (S, A, 119) perturbed by Gumbel noise, so that the largest is a fair draw.
        wanted: (S, 119) elements of the chemical system, which is met exactly; all False where none was asked for.
        constraints: Those with a mask are met exactly.

    Raises:
        ConfigError: The masks leave an atom no element.
    """
    numbers = numbers.clone()
    rows = torch.arange(len(numbers))
    while due.any():
        allowed = _allowed(numbers, real, wanted, constraints)
        atom = clock.masked_fill(~due, torch.inf).argmin(1)
        active = due[rows, atom]
        scores = logits[rows, atom].masked_fill(~allowed[rows, atom], -torch.inf)
        if (scores.amax(-1) == -torch.inf)[active].any():
            raise ConfigError("the request and the constraints leave no element to choose.", where="constraints")
        numbers[rows[active], atom[active]] = scores.argmax(-1)[active]
        due = due & (numbers == 0)
    return numbers


def _wanted(draws: Sequence[Draws]) -> Tensor:
    wanted = torch.zeros(len(draws), 119, dtype=torch.bool)
    for row, d in zip(wanted, draws, strict=True):
        row[[Element(symbol).Z for symbol in d.request.elements]] = True
    return wanted


def _allowed(numbers: Tensor, real: Tensor, wanted: Tensor, constraints: Sequence[Constraint]) -> Tensor:
    present = torch.zeros_like(wanted).scatter(1, numbers, True)
    missing = wanted & ~present
    places = (real & (numbers == 0)).sum(1)
    # When only as many places are left as elements are missing, each must take a missing one.
    urgent = (places <= missing.sum(1))[:, None]
    permitted = torch.where(urgent, missing, wanted) | ~wanted.any(1, keepdim=True)
    permitted[:, 0] = False
    allowed = permitted[:, None].expand(*numbers.shape, -1)
    for constraint in constraints:
        if "mask" in constraint.roles():
            allowed = allowed & constraint.mask(numbers, real)
    return allowed


def _targets(model: Flow, request: Request) -> Tensor:
    unknown = sorted(set(request.target) - set(model.targets))
    if unknown:
        raise ConfigError(
            f"this model was not trained on {', '.join(unknown)}.",
            where="target",
            fix=f"It knows: {', '.join(model.targets) or 'no targets'}.",
        )
    values = torch.tensor([[request.target.get(name, torch.nan) for name in model.targets]])
    return (values - model.target_mean) / model.target_std


def _normal(draws: Sequence[Draws], real: Tensor) -> Tensor:
    return _padded([d.stream.standard_normal((d.size, 3)) for d in draws], real)


def _padded(rows: Sequence[np.ndarray], real: Tensor, fill: float = 0.0) -> Tensor:
    out = torch.full((*real.shape, *rows[0].shape[1:]), fill)
    out[real] = torch.from_numpy(np.concatenate(rows)).float()
    return out
