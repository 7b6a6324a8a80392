"""Samplers of a diffusion model: deterministic few-step, ancestral, and predictor-corrector.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.generators.choice import ElementProcess
from matgen.generators.drawing import normal, start
from matgen.generators.flow_sampler import predictor
from matgen.generators.guidance import STRENGTH
from matgen.generators.molecule_box import box_noise
from matgen.generators.occupations import OBSERVED
from matgen.generators.paths import wrapped_width
from matgen.generators.rounds import solve_as_asked
from matgen.generators.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.dense import Crystals
    from matgen.generators.drawing import Draws
    from matgen.generators.flow_sampler import Predict
    from matgen.generators.periodic import PeriodicGenerator
    from matgen.runtime import Streams


@dataclass(frozen=True)
class Denoising:
    """How noise is taken away.

    Args:
        steps: Predictions, each twice as dear when targets are given.
        noise: η of DDIM (Song et al., arXiv:2010.02502): 0 is deterministic and good with few steps, 1 is the
            ancestral sampler.
        corrections: Langevin steps on the coordinates after each prediction (predictor-corrector, Song et al.,
            arXiv:2011.13456); each costs one more evaluation of the network.
        correction: Their size r in f ← f + r σ² s + √(2r) σ ε.
        sharpening: s in f ← f + (1 + s t) Δf for the deterministic part of a step, as the flow's anti-annealing.
        temperature: Of the element probabilities; below 1 favours common chemistry.
        guidance: Strength of classifier-free guidance towards targets (Ho & Salimans, arXiv:2207.12598).
        steering: Strength of guidance by the penalties of constraints, see
            :class:`matgen.generators.guidance.Guidance`; 0 switches it off.
        occupations: Where a space group that is asked for gets its Wyckoff positions from, see
            :func:`matgen.generators.occupations.source_of`.
    """

    steps: int = 50
    noise: float = 0.0
    corrections: int = 0
    correction: float = 0.1
    sharpening: float = 4.0
    temperature: float = 0.7
    guidance: float = 2.0
    steering: float = STRENGTH
    occupations: str = OBSERVED


def sample_diffusion(
    model: PeriodicGenerator,
    requests: Sequence[Request],
    how: Denoising,
    *,
    rng: Streams,
    constraints: Sequence[Constraint] = (),
) -> Batch:
    """Draw one crystal for each request.

    Args:
        model: A trained diffusion model.
        requests: What is asked of each sample; their ``n`` is not looked at.
        how: The sampler.
        rng: Streams by sample index.
        constraints: Those with a ``mask`` restrict the elements; a violation has probability zero. Those with a
            ``penalty`` guide coordinates and cell.
    """

    def solve(draws: Sequence[Draws]) -> Crystals:
        return denoise(model, draws, predictor(model, draws, how.guidance), how, constraints)

    return solve_as_asked(model, requests, solve, rng=rng, constraints=constraints, occupations=how.occupations)


def denoise(
    model: PeriodicGenerator,
    draws: Sequence[Draws],
    predict: Predict,
    how: Denoising,
    constraints: Sequence[Constraint] = (),
    boxed: bool = False,
) -> Crystals:
    """Take the noise away in ``how.steps`` steps.

    Arguments as for :func:`matgen.generators.flow_sampler.integrate`; ``boxed`` for molecules in their boxes, whose
    coordinates follow the path of the cell.
    """
    next_frac = _next_boxed if boxed else _next_frac
    x = start(draws)
    steering = Steering.of(model, draws, x, constraints, how.steering)
    x = steering.begin(x)
    elements = ElementProcess.of(model, draws, x, how.temperature, constraints)
    numbers, frac, cell = x.numbers, x.frac, x.cell
    for now, then in pairwise(torch.linspace(0, 1, how.steps + 1).tolist()):
        t = torch.full((len(draws),), now)
        v_frac, v_cell, logits = predict(numbers, frac, cell, x.real, t)
        v_frac, logits = steering.aligned(frac, v_frac, now), steering.tied(logits)
        ends = frac + (1 - now) * v_frac, cell + (1 - now) * v_cell
        after, shape = (
            next_frac(frac, v_frac, now, then, how, draws, x.real),
            _next_cell(cell, v_cell, now, then, how, draws),
        )
        if (correction := steering.correction(ends, numbers, logits, now, then)) is not None:
            after, shape = after + correction[0], shape + correction[1]
        frac, cell = steering.keep(frac, after, shape, then)
        numbers = elements.advance(numbers, logits, then)
        if then < 1:
            after = _corrected(predict, (numbers, frac, cell, x.real), then, how, draws)
            frac, cell = steering.keep(frac, after, cell, then)
    return steering.finish(numbers, frac, cell)


def fresh_share(noise: float, width: float, next_width: float) -> float:
    """ρ, how much of the noise that remains is drawn anew: ρ² = η² (1 - (σ' / σ)²), so η = 1 is the ancestral step."""
    return noise * max(0.0, 1 - (next_width / width) ** 2) ** 0.5


def _next_frac(
    frac: Tensor, velocity: Tensor, now: float, then: float, how: Denoising, draws: Sequence[Draws], real: Tensor
) -> Tensor:
    width, next_width = (wrapped_width(torch.tensor(t)).item() if t < 1 else 0.0 for t in (now, then))
    share = fresh_share(how.noise, width, next_width)
    kept = next_width * (1 - share**2) ** 0.5
    # With D = σ² s = (1 - t) v the expected data lie at f + D and the noise is -D / σ.
    moved = (1 + how.sharpening * now) * (1 - kept / width) * (1 - now) * velocity
    # Sharpened steps do not pass the expected data.
    moved = moved.where(moved.abs() <= (1 - now) * velocity.abs(), (1 - now) * velocity)
    if share and next_width:
        moved = moved + next_width * share * normal(draws, real)
    return frac + moved


def _next_cell(
    cell: Tensor, velocity: Tensor, now: float, then: float, how: Denoising, draws: Sequence[Draws]
) -> Tensor:
    """On the scale t x1 + (1 - t) ε of the network, to which the variance-preserving state is proportional."""
    clean, noise = cell + (1 - now) * velocity, cell - now * velocity
    share = how.noise if now == 0 else fresh_share(how.noise, (1 - now) / now, (1 - then) / then)
    if share and then < 1:
        fresh = torch.from_numpy(np.stack([d.stream.standard_normal(6) for d in draws])).float()
        noise = (1 - share**2) ** 0.5 * noise + share * fresh
    return then * clean + (1 - then) * noise


def _next_boxed(
    frac: Tensor, velocity: Tensor, now: float, then: float, how: Denoising, draws: Sequence[Draws], real: Tensor
) -> Tensor:
    """As :func:`_next_cell`, around the middle of the box; sharpened steps do not pass the expected data."""
    clean, noise = frac + (1 - now) * velocity, frac - now * velocity
    share = how.noise if now == 0 else fresh_share(how.noise, (1 - now) / now, (1 - then) / then)
    if share and then < 1:
        fresh = box_noise(normal(draws, real), real)
        noise = 0.5 + (1 - share**2) ** 0.5 * (noise - 0.5) + share * (fresh - 0.5)
    further = min(how.sharpening * now * (then - now), 1 - then)
    return then * clean + (1 - then) * noise + further * velocity


def _corrected(
    predict: Predict, state: tuple[Tensor, Tensor, Tensor, Tensor], t: float, how: Denoising, draws: Sequence[Draws]
) -> Tensor:
    numbers, frac, cell, real = state
    width = wrapped_width(torch.tensor(t)).item()
    for _ in range(how.corrections):
        velocity, _, _ = predict(numbers, frac, cell, real, torch.full((len(draws),), t))
        jump = how.correction * (1 - t) * velocity + (2 * how.correction) ** 0.5 * width * normal(draws, real)
        frac = frac + jump
    return frac
