"""Sampling from a flow model: what is asked, the noise of each sample, and the integration.

Shapes: S systems, A atoms (padded), T targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from pymatgen.core import Composition, Element
from torch_geometric.data import Batch

from matgen.errors import ConfigError
from matgen.generators.dense import Crystals
from matgen.generators.masks import masking, open_elements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch_geometric.data import Data

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.flow import Flow
    from matgen.generators.periodic import PeriodicGenerator
    from matgen.runtime import Streams

Predict: TypeAlias = "Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]"
"""From (numbers, frac, cell, real, t) to velocities of coordinates and cell, and element logits."""

CHUNK = 128
"""Samples that are integrated together; fixed, so that results do not depend on shards or workers."""


ATTEMPTS = 100
"""How often the elements of a sample are drawn anew where masks meet in a dead end."""


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

    def solve(draws: Sequence[Draws]) -> Crystals:
        return integrate(model, draws, predictor(model, draws, integration.guidance), integration, constraints)

    return sample_in_chunks(model, requests, solve, rng=rng, constraints=constraints)


@torch.no_grad()
def sample_in_chunks(
    model: PeriodicGenerator,
    requests: Sequence[Request],
    solve: Callable[[Sequence[Draws]], Crystals],
    *,
    rng: Streams,
    constraints: Sequence[Constraint] = (),
) -> Batch:
    """Draw the noise of each request, solve samples of similar size together, and restore the order.

    Args:
        model: What is sampled.
        requests: What is asked of each sample; their ``n`` is not looked at.
        solve: From the noise of up to :data:`CHUNK` samples to crystals in the same order.
        rng: Streams by sample index.
        constraints: As for :func:`sample_flow`.
    """
    masks = masking(constraints)
    open_sizes = [a for a in range(1, model.max_atoms + 1) if not masks or open_elements(a, masks).any()]
    streams = rng.many(len(requests))
    draws = [draw(model, request, stream, open_sizes) for request, stream in zip(requests, streams, strict=True)]
    order = sorted(range(len(draws)), key=lambda i: draws[i].size)
    done: dict[int, Data] = {}
    for begin in range(0, len(order), CHUNK):
        chunk = order[begin : begin + CHUNK]
        crystals = solve([draws[i] for i in chunk])
        done.update(zip(chunk, crystals.systems(), strict=True))
    return Batch.from_data_list([done[i] for i in range(len(draws))])


def draw(model: PeriodicGenerator, request: Request, stream: np.random.Generator, open_sizes: Sequence[int]) -> Draws:
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


def _allowed_sizes(model: PeriodicGenerator, request: Request, unit: int, open_sizes: Sequence[int]) -> np.ndarray:
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


def integrate(
    model: PeriodicGenerator,
    draws: Sequence[Draws],
    predict: Predict,
    how: Integration,
    constraints: Sequence[Constraint] = (),
) -> Crystals:
    """Follow the velocities from noise to crystals.

    Args:
        model: Gives scales, known elements and ``reveal_end``.
        draws: The noise of S samples.
        predict: Velocities and element logits at a state, see :data:`Predict`.
        how: Steps and their variants.
        constraints: Those with a mask are met exactly.
    """
    x = start(draws)
    elements = ElementProcess.of(model, draws, x, how.temperature, constraints)
    numbers, frac, cell = x.numbers, x.frac, x.cell
    for now, then in pairwise(torch.linspace(0, 1, how.steps + 1).tolist()):
        if how.churn and now > 0:
            frac = (frac + how.churn * (1 - now) * (then - now) ** 0.5 * normal(draws, x.real)) % 1.0
        v_frac, v_cell, logits = predict(numbers, frac, cell, x.real, torch.full((len(draws),), now))
        frac = (frac + (1 + how.annealing * now) * (then - now) * v_frac) % 1.0
        cell = cell + (then - now) * v_cell
        numbers = elements.advance(numbers, logits, then)
    return Crystals(numbers, frac, model.restore(cell, x.real.sum(1)), x.real)


@dataclass(frozen=True)
class ElementProcess:
    """Reverse of the absorbing process: atoms show their element when their clock strikes.

    Args:
        reveal_end: Time at which all elements are known.
        absent: (119,) elements that never occur.
        temperature: Of the probabilities.
        choice: How elements are chosen; its logits are those of the step.
        streams: Of each system.
    """

    reveal_end: float
    absent: Tensor
    temperature: float
    choice: Choice
    streams: Sequence[np.random.Generator]

    @classmethod
    def of(
        cls,
        model: PeriodicGenerator,
        draws: Sequence[Draws],
        x: Crystals,
        temperature: float,
        constraints: Sequence[Constraint],
    ) -> ElementProcess:
        """The process of samples that start at ``x``."""
        clock = padded([d.clock for d in draws], x.real, fill=2.0)
        gumbel = padded([d.gumbel for d in draws], x.real)
        choice = Choice(x.real, x.numbers > 0, clock, gumbel, gumbel, wanted_elements(draws), constraints)
        return cls(model.reveal_end, model.elements == 0, temperature, choice, [d.stream for d in draws])

    def advance(self, numbers: Tensor, logits: Tensor, until: float) -> Tensor:
        """(S, A) elements at time ``until``, given the network's logits (S, A, 119)."""
        choice = replace(self.choice, logits=logits.masked_fill(self.absent, -torch.inf) / self.temperature)
        due = choice.real & (numbers == 0) & ((choice.clock * self.reveal_end < until) | (until == 1.0))
        return choice.reveal(numbers, due, self.streams)


def predictor(model: PeriodicGenerator, draws: Sequence[Draws], guidance: float) -> Predict:
    """The network under what is asked; here, between predicting and stepping, is where guidance acts.

    Args:
        model: The network.
        draws: What is asked of each system.
        guidance: Strength of classifier-free guidance towards the targets, where there are any.
    """
    given = torch.tensor([d.request.formula is not None for d in draws])
    group = torch.tensor([d.group for d in draws])
    targets = torch.cat([_targets(model, d.request) for d in draws])

    def predict(numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _guided(model, (numbers, frac, cell, real, t, given, group), targets, guidance)

    return predict


def start(draws: Sequence[Draws]) -> Crystals:
    """The noise of S samples, padded; elements where the composition is given."""
    widest = max(d.size for d in draws)
    real = torch.arange(widest)[None] < torch.tensor([d.size for d in draws])[:, None]
    numbers = padded([d.numbers for d in draws], real).long()
    frac = padded([d.frac for d in draws], real)
    return Crystals(numbers, frac, torch.from_numpy(np.stack([d.cell for d in draws])).float(), real)


def _guided(
    model: PeriodicGenerator, state: tuple[Tensor, ...], targets: Tensor, guidance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Extrapolate from the prediction without targets through the one with them."""
    conditional = model(*state, targets)
    if targets.isnan().all() or guidance == 1.0:
        return conditional[0], conditional[1], conditional[2]
    free = model(*state, torch.full_like(targets, torch.nan))
    frac, cell, logits = (f + guidance * (c - f) for f, c in zip(free, conditional, strict=True))
    return frac, cell, logits


@dataclass(frozen=True)
class Choice:
    """The elements of undetermined atoms, decided one atom a system at a time so that masks see those before.

    Args:
        real: (S, A).
        given: (S, A) atoms whose element was asked for.
        clock: (S, A) the order.
        logits: (S, A, 119).
        gumbel: (S, A, 119) noise that makes the largest sum a fair draw.
        wanted: (S, 119) elements of the chemical system, which is met exactly; all False where none was asked for.
        constraints: Those with a mask are met exactly.
    """

    real: Tensor
    given: Tensor
    clock: Tensor
    logits: Tensor
    gumbel: Tensor
    wanted: Tensor
    constraints: Sequence[Constraint]

    def reveal(self, numbers: Tensor, due: Tensor, streams: Sequence[np.random.Generator]) -> Tensor:
        """Decide the elements that are due.

        Each mask is exact alone; where several together leave an atom no element, that system's elements are drawn
        anew, all that the request leaves open.

        Args:
            numbers: (S, A), 0 where undetermined.
            due: (S, A) atoms whose element is decided now.
            streams: Of each system, for drawing anew.

        Raises:
            ConfigError: The masks leave an atom no element, however often.
        """
        numbers, scores, attempts = numbers.clone(), self.logits + self.gumbel, [0] * len(numbers)
        rows = torch.arange(len(numbers))
        while due.any():
            allowed = _allowed(numbers, self.real, self.wanted, self.constraints)
            atom = self.clock.masked_fill(~due, torch.inf).argmin(1)
            active = due[rows, atom]
            score = scores[rows, atom].masked_fill(~allowed[rows, atom], -torch.inf)
            stuck = active & (score.amax(-1) == -torch.inf)
            chosen = active & ~stuck
            numbers[rows[chosen], atom[chosen]] = score.argmax(-1)[chosen]
            due = due & (numbers == 0)
            for i in stuck.nonzero().ravel().tolist():
                attempts[i] += 1
                if attempts[i] > ATTEMPTS:
                    raise ConfigError(
                        "the request and the constraints leave no element to choose.", where="constraints"
                    )
                due[i] |= self.real[i] & ~self.given[i] & (numbers[i] > 0)
                numbers[i] = numbers[i].where(self.given[i], 0)
                noise = streams[i].gumbel(size=tuple(scores[i].shape))
                scores[i] = self.logits[i] + torch.from_numpy(noise).to(scores)
        return numbers


def wanted_elements(draws: Sequence[Draws]) -> Tensor:
    """(S, 119) elements of the chemical systems asked for."""
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


def _targets(model: PeriodicGenerator, request: Request) -> Tensor:
    unknown = sorted(set(request.target) - set(model.targets))
    if unknown:
        raise ConfigError(
            f"this model was not trained on {', '.join(unknown)}.",
            where="target",
            fix=f"It knows: {', '.join(model.targets) or 'no targets'}.",
        )
    values = torch.tensor([[request.target.get(name, torch.nan) for name in model.targets]])
    return (values - model.target_mean) / model.target_std


def normal(draws: Sequence[Draws], real: Tensor) -> Tensor:
    """(S, A, 3) standard normal, each system from its own stream."""
    return padded([d.stream.standard_normal((d.size, 3)) for d in draws], real)


def padded(rows: Sequence[np.ndarray], real: Tensor, fill: float = 0.0) -> Tensor:
    """(S, A, ...) values (A, ...) of each system, with ``fill`` on padding."""
    out = torch.full((*real.shape, *rows[0].shape[1:]), fill)
    out[real] = torch.from_numpy(np.concatenate(rows)).float()
    return out
