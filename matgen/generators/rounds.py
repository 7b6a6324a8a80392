"""Drawing anew where a finished crystal is not what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch_geometric.data import Batch

from matgen.data.structures import from_data
from matgen.data.symmetry import space_group_number
from matgen.errors import ConfigError
from matgen.generators.drawing import draw_wished, open_sizes, solve_in_chunks
from matgen.generators.masks import permitted
from matgen.generators.occupations import OBSERVED, SYMPREC, source_of, symmetry_wishes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch_geometric.data import Data

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.dense import Crystals
    from matgen.generators.drawing import Draws
    from matgen.generators.periodic import PeriodicGenerator
    from matgen.runtime import Streams

ROUNDS = 20
"""How often a sample is drawn before its request counts as impossible."""

PLAIN = 8
"""From the next draw on, a crystal of too high a symmetry has its free coordinates displaced."""

DISPLACEMENT = 0.1
"""Å; standard deviation, before projection, of that displacement."""


def solve_as_asked(
    model: PeriodicGenerator,
    requests: Sequence[Request],
    solve: Callable[[Sequence[Draws]], Crystals],
    *,
    rng: Streams,
    constraints: Sequence[Constraint] = (),
    occupations: str = OBSERVED,
) -> Batch:
    """One crystal for each request; where a space group is asked for, ``attempts`` tells how often each was drawn.

    A crystal that was to have a space group has its symmetry by construction, but may have come out with a higher one;
    it is drawn anew, from its own stream. Where :data:`PLAIN` draws were not enough, atoms are displaced inside the
    symmetry as a last resort.

    Args:
        model: The generator.
        requests: What is asked of each sample.
        solve: From noise to crystals.
        rng: Streams by sample index.
        constraints: Masks limit the cell sizes, wishes for symmetry that project the space groups and occupations.
        occupations: Source of occupied Wyckoff positions, see :func:`matgen.generators.occupations.source_of`.

    Raises:
        ConfigError: No draw gave the space group.
    """
    streams, sizes = rng.many(len(requests)), open_sizes(model, constraints)
    done: dict[int, Data] = {}
    source, wishes = source_of(occupations, constraints), symmetry_wishes(constraints)
    rejecting = bool(wishes) or any(request.space_group is not None for request in requests)
    for attempt in range(1, ROUNDS + 1):
        left = [i for i in range(len(requests)) if i not in done]
        if not left:
            break
        draws = [draw_wished(model, requests[i], streams[i], sizes, source, wishes) for i in left]
        for i, drawn, data in zip(left, draws, solve_in_chunks(draws, solve).to_data_list(), strict=True):
            _fix(data, requests[i])
            if attempt > PLAIN and not _as_asked(data, drawn.request, constraints):
                _displace(data, drawn)
            if _as_asked(data, drawn.request, constraints):
                done[i] = data
                if rejecting:
                    data.attempts = torch.tensor([attempt])
    if len(done) < len(requests):
        asked = next(requests[i].space_group for i in range(len(requests)) if i not in done)
        missing = f"of space group {asked}" if asked else "as " + " and ".join(wish.name for wish in wishes) + " want"
        raise ConfigError(
            f"{ROUNDS} draws gave no crystal {missing}, only of higher symmetry or other elements.",
            where="space_group",
            fix="Ask for more atoms, another composition or another space group.",
        )
    return Batch.from_data_list([done[i] for i in range(len(requests))])


def _fix(data: Data, request: Request) -> None:
    """Put fixed atoms and a fixed cell exactly where they were asked for."""
    if request.fixed is not None and request.fixed.numbers:
        data.frac[: len(request.fixed.numbers)] = torch.tensor(request.fixed.frac, dtype=data.frac.dtype) % 1.0
    if request.fixed is not None and request.fixed.cell is not None:
        data.cell = torch.tensor([request.fixed.cell], dtype=data.cell.dtype)


def _displace(data: Data, drawn: Draws) -> None:
    """Move atoms at random within their Wyckoff positions, which takes accidental symmetry away."""
    if drawn.subspace is None:
        return
    moved = DISPLACEMENT * drawn.stream.standard_normal(data.frac.shape) @ np.linalg.inv(data.cell[0].numpy())
    data.frac = (data.frac + torch.from_numpy(drawn.subspace.averaging @ moved.ravel()).view(-1, 3)) % 1.0


def _as_asked(data: Data, request: Request, constraints: Sequence[Constraint]) -> bool:
    """Whether a crystal in a space group has just that group, and elements that the request and all masks allow."""
    if request.space_group is None:
        return True
    structure = from_data(data)
    if request.elements and {e.symbol for e in structure.composition} != set(request.elements):
        return False
    if request.formula is None and not permitted(data.numbers.numpy(), constraints):
        return False
    if not all(wish.check([structure]).passed[0] for wish in symmetry_wishes(constraints)):
        return False
    return space_group_number(structure, SYMPREC) == request.space_group
