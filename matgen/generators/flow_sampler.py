"""Sampling from a flow: predicting under what is asked, and the integration from noise to crystals.

Shapes: S systems, A atoms (padded), T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch

from matgen.errors import ConfigError
from matgen.generators.choice import ElementProcess
from matgen.generators.drawing import normal, start
from matgen.generators.guidance import STRENGTH
from matgen.generators.occupations import OBSERVED
from matgen.generators.rounds import solve_as_asked
from matgen.generators.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.dense import Crystals
    from matgen.generators.drawing import Draws
    from matgen.generators.periodic import PeriodicGenerator
    from matgen.runtime import Streams

Predict: TypeAlias = "Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]"
"""From (numbers, frac, cell, real, t) to velocities of coordinates and cell, and element logits."""


@dataclass(frozen=True)
class Integration:
    """How the flow is integrated from noise to crystals, with Euler steps.

    Args:
        steps: Network evaluations (twice as many when targets are given).
        annealing: s in f ← f + (1 + s t) v dt, which sharpens coordinates at late times ("anti-annealing",
            Bose et al., arXiv:2310.02391; for crystals FlowMM).
        capped: Whether no step takes coordinates beyond where the velocity would take them by t = 1; strong annealing
            oversteps that near the end.
        churn: Noise added to the coordinates in each step, as a multiple of (1 - t) dt^(1/2).
        temperature: Of the element probabilities; below 1 favours common chemistry. At 0.7 samples have as many
            different elements as the training data.
        guidance: Strength of classifier-free guidance towards targets (Ho & Salimans, arXiv:2207.12598).
        steering: Strength of guidance by the penalties of constraints, see
            :class:`matgen.generators.guidance.Guidance`; 0 switches it off.
        occupations: Where a space group that is asked for gets its Wyckoff positions from, see
            :func:`matgen.generators.occupations.source_of`.
    """

    steps: int = 50
    annealing: float = 4.0
    capped: bool = False
    churn: float = 0.0
    temperature: float = 0.7
    guidance: float = 2.0
    steering: float = STRENGTH
    occupations: str = OBSERVED


def sample_flow(
    model: PeriodicGenerator,
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
        constraints: Those with a ``mask`` restrict the elements; a violation has probability zero. Those with a
            ``penalty`` guide coordinates and cell.
    """

    def solve(draws: Sequence[Draws]) -> Crystals:
        return integrate(model, draws, predictor(model, draws, integration.guidance), integration, constraints)

    return solve_as_asked(model, requests, solve, rng=rng, constraints=constraints, occupations=integration.occupations)


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
        constraints: Those with a mask are met exactly, those with a penalty guide.
    """
    x = start(draws)
    steering = Steering.of(model, draws, x, constraints, how.steering)
    x = steering.begin(x)
    elements = ElementProcess.of(model, draws, x, how.temperature, constraints)
    numbers, frac, cell = x.numbers, x.frac, x.cell
    for now, then in pairwise(torch.linspace(0, 1, how.steps + 1).tolist()):
        if how.churn and now > 0:
            noise = how.churn * (1 - now) * (then - now) ** 0.5 * normal(draws, x.real)
            frac, cell = steering.keep(frac, frac + noise, cell, now)
        v_frac, v_cell, logits = predict(numbers, frac, cell, x.real, torch.full((len(draws),), now))
        v_frac, logits = steering.aligned(frac, v_frac, now), steering.tied(logits)
        stride = (1 + how.annealing * now) * (then - now)
        stride = min(stride, 1 - now) if how.capped else stride
        moved, changed = stride * v_frac, (then - now) * v_cell
        ends = frac + (1 - now) * v_frac, cell + (1 - now) * v_cell
        if (correction := steering.correction(ends, numbers, logits, now, then)) is not None:
            moved, changed = moved + correction[0], changed + correction[1]
        frac, cell = steering.keep(frac, frac + moved, cell + changed, then)
        numbers = elements.advance(numbers, logits, then)
    return steering.finish(numbers, frac, cell)


def predictor(
    model: PeriodicGenerator,
    draws: Sequence[Draws],
    guidance: float,
    isolated: Tensor | None = None,
    apart: Tensor | None = None,
) -> Predict:
    """The network under what is asked; here, between predicting and stepping, is where guidance acts.

    Args:
        model: The network.
        draws: What is asked of each system.
        guidance: Strength of classifier-free guidance towards targets and words, where there are any.
        isolated: (S,) which systems are molecules; None where none is.
        apart: (S, A, A) bonds between two atoms of molecules, 0 where not told; None where none are known.
    """
    given = torch.tensor([d.request.formula is not None for d in draws])
    group = torch.tensor([d.group for d in draws])
    targets = torch.cat([_targets(model, d.request) for d in draws])
    words = model.vectors_of([d.request for d in draws])

    def predict(numbers: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state = (numbers, frac, cell, real, t, given, group)
        known = {"isolated": isolated, "apart": apart}
        return _guided(model, state, targets, guidance, known, words)

    return predict


def _guided(
    model: PeriodicGenerator,
    state: tuple[Tensor, ...],
    targets: Tensor,
    guidance: float,
    known: dict[str, Tensor | None],
    words: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Extrapolate from the prediction without targets and words through the one with them."""
    conditional = model(*state, targets, words=words, **known)
    if (targets.isnan().all() and words is None) or guidance == 1.0:
        return conditional[0], conditional[1], conditional[2]
    free = model(*state, torch.full_like(targets, torch.nan), **known)
    frac, cell, logits = (f + guidance * (c - f) for f, c in zip(free, conditional, strict=True))
    return frac, cell, logits


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
