"""Choosing elements one after the other, so that every mask sees those before.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from pymatgen.core import Element

from matgen.errors import ConfigError
from matgen.generators.drawing import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.dense import Crystals
    from matgen.generators.drawing import Draws
    from matgen.generators.periodic import PeriodicGenerator

ATTEMPTS = 100
"""How often the elements of a sample are drawn anew where masks meet in a dead end."""


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
        owner: (S, A) first of the atoms that are to have the same element, which no others have; they have the same
            clock, logits and noise. -1 in systems whose atoms stand alone; None where all do.
    """

    real: Tensor
    given: Tensor
    clock: Tensor
    logits: Tensor
    gumbel: Tensor
    wanted: Tensor
    constraints: Sequence[Constraint]
    owner: Tensor | None = None

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
            allowed = _allowed(numbers, self.real, self.wanted, self.constraints) & self._untaken(numbers)
            atom = self.clock.masked_fill(~due, torch.inf).argmin(1)
            active = due[rows, atom]
            score = scores[rows, atom].masked_fill(~allowed[rows, atom], -torch.inf)
            stuck = active & (score.amax(-1) == -torch.inf)
            chosen = active & ~stuck
            numbers[rows[chosen], atom[chosen]] = score.argmax(-1)[chosen]
            if self.owner is not None:
                numbers, scores = self._spread(numbers, scores, chosen, atom)
            due = due & (numbers == 0)
            for i in stuck.nonzero().ravel().tolist():
                attempts[i] += 1
                if attempts[i] > ATTEMPTS // 10 and self.owner is not None:
                    # Not every occupation can be met; the whole sample is then drawn anew, see the rounds.
                    numbers[i] = self.logits[i].argmax(-1).where(due[i], numbers[i])
                    due[i] = False
                    continue
                if attempts[i] > ATTEMPTS:
                    raise ConfigError(
                        "the request and the constraints leave no element to choose.", where="constraints"
                    )
                due[i] |= self.real[i] & ~self.given[i] & (numbers[i] > 0)
                numbers[i] = numbers[i].where(self.given[i], 0)
                noise = torch.from_numpy(streams[i].gumbel(size=tuple(scores[i].shape))).to(scores)
                if self.owner is not None and self.owner[i, 0] >= 0:
                    noise = noise[self.owner[i]]
                scores[i] = self.logits[i] + noise
        return numbers

    def _untaken(self, numbers: Tensor) -> Tensor:
        """(S, 1, 119) elements that are still free: where atoms go together, others must differ from them."""
        untaken = torch.ones(len(numbers), 119, dtype=torch.bool)
        if self.owner is not None:
            untaken = untaken.scatter(1, numbers, False) | (self.owner[:, :1] < 0)
        return untaken[:, None]

    def _spread(self, numbers: Tensor, scores: Tensor, chosen: Tensor, atom: Tensor) -> tuple[Tensor, Tensor]:
        """Give the element just chosen to the atoms that go with this one, atom by atom as the masks see it.

        Where a mask forbids that, they are undetermined again and the element out of question for them.

        Args:
            numbers: (S, A).
            scores: (S, A, 119).
            chosen: (S,) systems in which an atom was chosen.
            atom: (S,) which one.
        """
        assert self.owner is not None  # noqa: S101 (only called with orbits)
        rows = torch.arange(len(numbers))
        element = numbers[rows, atom]
        same = (self.owner == self.owner[rows, atom][:, None]) & (self.owner >= 0)
        orbit = same & self.real & chosen[:, None]
        left, failed = orbit & (numbers == 0), torch.zeros_like(chosen)
        while left.any():
            allowed = _allowed(numbers, self.real, self.wanted, self.constraints)
            following, active = left.long().argmax(1), left.any(1)
            good = active & allowed[rows, following, element]
            numbers[rows[good], following[good]] = element[good]
            failed |= active & ~good
            left = left & (numbers == 0) & ~failed[:, None]
        undone = orbit & failed[:, None]
        numbers = numbers.masked_fill(undone, 0)
        scores = scores.clone()
        banned = rows[failed]
        scores[banned] = scores[banned].where(
            ~undone[banned][..., None] | (torch.arange(119) != element[banned][:, None, None]), -torch.inf
        )
        return numbers, scores


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
        wanted = wanted_elements([d.request for d in draws])
        choice = Choice(x.real, x.numbers > 0, clock, gumbel, gumbel, wanted, constraints, _owners(draws, x.real))
        return cls(model.reveal_end, model.elements == 0, temperature, choice, [d.stream for d in draws])

    def advance(self, numbers: Tensor, logits: Tensor, until: float) -> Tensor:
        """(S, A) elements at time ``until``, given the network's logits (S, A, 119)."""
        choice = replace(self.choice, logits=logits.masked_fill(self.absent, -torch.inf) / self.temperature)
        due = choice.real & (numbers == 0) & ((choice.clock * self.reveal_end < until) | (until == 1.0))
        return choice.reveal(numbers, due, self.streams)


def _owners(draws: Sequence[Draws], real: Tensor) -> Tensor | None:
    """(S, A) first of the atoms that are to have the same element, -1 where they stand alone; None where all do."""
    if all(d.subspace is None for d in draws):
        return None
    owners = torch.full(real.shape, -1)
    for row, d in zip(owners, draws, strict=True):
        if d.subspace is not None:
            row[: d.size] = torch.from_numpy(d.subspace.occupation.kinds)
    return owners


def wanted_elements(requests: Sequence[Request]) -> Tensor:
    """(S, 119) elements of the chemical systems asked for."""
    wanted = torch.zeros(len(requests), 119, dtype=torch.bool)
    for row, request in zip(wanted, requests, strict=True):
        row[[Element(symbol).Z for symbol in request.elements]] = True
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
        if constraint.acts_as("mask"):
            allowed = allowed & constraint.mask(numbers, real)
    return allowed
