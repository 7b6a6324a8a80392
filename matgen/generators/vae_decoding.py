"""From codes to crystals: size and composition are read from the code, the rest is integrated under it.

Shapes: S systems, A atoms, C size of a code, Z atomic numbers (0 to 118).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from matgen.data.request import Request
from matgen.generators.choice import Choice, wanted_elements
from matgen.generators.drawing import Draws, allowed_sizes, formula_unit, open_sizes, solve_in_chunks
from matgen.generators.flow_sampler import integrate
from matgen.generators.masks import masking, open_elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.generators.dense import Crystals
    from matgen.generators.flow_sampler import Integration
    from matgen.generators.vae import VAE
    from matgen.runtime import Streams

CONVICTION = 4.0
"""Nats by which an atom's element from the code is preferred to others, where masks leave a choice."""


@torch.no_grad()
def decode_codes(
    model: VAE,
    codes: Tensor,
    how: Integration,
    *,
    rng: Streams,
    requests: Sequence[Request] | None,
    constraints: Sequence[Constraint],
) -> Batch:
    """One crystal for each code; arguments as of :meth:`matgen.generators.vae.VAE.decode`."""
    asked = requests or [Request()] * len(codes)
    sizes = open_sizes(model, constraints)
    draws = [
        _draw(model, code, request, stream, sizes, constraints)
        for code, request, stream in zip(codes, asked, rng.many(len(codes)), strict=True)
    ]
    place = {id(d): i for i, d in enumerate(draws)}

    def solve(chunk: Sequence[Draws]) -> Crystals:
        steering = codes[[place[id(d)] for d in chunk]]

        def predict(n: Tensor, frac: Tensor, cell: Tensor, real: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return model.velocities(n, frac, cell, real, t, steering)

        return integrate(model, chunk, predict, how, constraints)

    return solve_in_chunks(draws, solve)


@torch.no_grad()
def fitness(model: VAE, codes: Tensor, request: Request, masks: Sequence[Constraint]) -> Tensor:
    """(S,) log probability of what is asked under what each code says about size and composition."""
    log_share = model.chemistry.log_shares(codes)
    score = torch.zeros(len(codes))
    unit = formula_unit(request)
    elements = wanted_elements([request])[0]
    if len(unit):
        score = score + log_share[:, torch.from_numpy(unit)].sum(-1) * (model.max_atoms / 2 / len(unit))
    elif elements.any():
        score = score + log_share[:, elements].amin(-1) + 10 * log_share[:, elements].logsumexp(-1)
    if masks and not len(unit):
        allowed = torch.from_numpy(open_elements(model.max_atoms, masks))
        score = score + 10 * log_share[:, allowed].logsumexp(-1) if allowed.any() else score
    if request.n_atoms is not None:
        score = score + model.chemistry.size_logits(codes).log_softmax(-1)[:, min(request.n_atoms, model.max_atoms)]
    return score


def apportion(share: np.ndarray, size: int) -> np.ndarray:
    """(A,) atomic numbers whose counts are nearest to shares (Z,), by largest remainders."""
    quota = share / share.sum() * size
    counts = np.floor(quota).astype(int)
    short = size - counts.sum()
    counts[np.argsort(counts - quota, kind="stable")[:short]] += 1
    return np.repeat(np.arange(len(share)), counts)


def _draw(
    model: VAE,
    code: Tensor,
    request: Request,
    stream: np.random.Generator,
    sizes: Sequence[int],
    constraints: Sequence[Constraint],
) -> Draws:
    unit = formula_unit(request)
    allowed = allowed_sizes(model, request, len(unit), sizes)
    size = int(allowed[model.chemistry.size_logits(code[None])[0, torch.from_numpy(allowed)].argmax()])
    draws = Draws(
        request=request,
        size=size,
        group=0,
        numbers=np.tile(unit, size // len(unit)) if len(unit) else np.zeros(size, dtype=int),
        frac=stream.random((size, 3)),
        cell=stream.standard_normal(6),
        clock=np.arange(size) / size,
        gumbel=np.zeros((size, 119)),
        stream=stream,
    )
    if len(unit):
        return draws
    return replace(draws, numbers=_composition(model, code, draws, constraints))


def _composition(model: VAE, code: Tensor, draws: Draws, constraints: Sequence[Constraint]) -> np.ndarray:
    """(A,) elements that the code asks for, as near to it as chemical system and masks allow."""
    masks, size = masking(constraints), draws.size
    log_share = model.chemistry.log_shares(code[None])[0]
    possible = (model.elements > 0) & torch.from_numpy(open_elements(size, masks))
    wanted = wanted_elements([draws.request])
    possible = possible & wanted[0] if wanted.any() else possible
    log_share = log_share.masked_fill(~possible, -torch.inf)
    share = log_share.double().softmax(-1).numpy() if possible.any() else wanted[0].double().numpy()
    preferred = torch.from_numpy(apportion(share, size))
    if not masks and not wanted.any():
        read = torch.bincount(preferred, minlength=119).float()
        counts = model.chemistry.nearest(code, read, possible.nonzero()[:, 0])
        return torch.repeat_interleave(torch.arange(119), counts.long()).numpy()
    real = torch.ones(1, size, dtype=torch.bool)
    logits = log_share.expand(1, size, 119).clone()
    logits[0, torch.arange(size), preferred] += CONVICTION
    clock, nothing = torch.from_numpy(draws.clock)[None], torch.zeros(1, size, 119)
    choice = Choice(real, ~real, clock, logits, nothing, wanted, constraints)
    undetermined = torch.zeros(1, size, dtype=torch.long)
    return choice.reveal(undetermined, real, [draws.stream])[0].numpy()
