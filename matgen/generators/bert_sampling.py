"""Whole crystals from the masked transformer: it fills occupations of known crystals, one part after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.data.request import Request
from matgen.data.structures import to_batch
from matgen.elements import N_NUMBERS
from matgen.errors import ConfigError
from matgen.features.observed_occupations import observed
from matgen.features.wyckoff import positions
from matgen.generators.crystal_tokens import (
    ELEMENT,
    GROUP,
    POSITION,
    Draft,
    Place,
    Question,
    first_token,
    position_tokens,
)
from matgen.generators.filling import bert_features, bert_scores
from matgen.generators.gpt_sampling import openness
from matgen.generators.masks import masking, open_elements, permitted, required_elements
from matgen.generators.occupations import observed_occupation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.features.occupation import Occupation
    from matgen.features.symmetric import SymmetricCrystal
    from matgen.generators.bert import CrystalBERT
    from matgen.runtime import Streams

CLOSEST = 0.6
"""Smallest distance as a share of the sum of two covalent radii for which a crystal is not drawn again."""


@torch.no_grad()
def sample_filled(
    bert: CrystalBERT,
    request: Request,
    rng: Streams,
    constraints: Sequence[Constraint],
    tries: int = 100,
    temperature: float = 0.7,
) -> Batch:
    """Crystals on occupations of known ones, with elements and numbers filled in one after the other.

    Args:
        bert: The transformer.
        request: How many; it has no conditions.
        rng: Streams by sample index.
        constraints: Act on the elements through their masks.
        tries: How often elements are drawn until the constraints allow them.
        temperature: Of cell and coordinates.
    """
    request.require_honoured_by(bert.conditions, bert.name)
    sizes = np.array([a for a in range(1, bert.max_atoms + 1) if open_elements(a, constraints).any()], dtype=int)
    if not len(sizes):
        raise ConfigError("the constraints leave no number of atoms or element to choose.", where="constraints")
    drawn = (_filled(bert, constraints, sizes, stream, tries, temperature) for stream in rng.many(request.n))
    made, attempts = zip(*drawn, strict=True)
    batch = to_batch([crystal.structure() for crystal in made])
    batch.attempts = torch.tensor(attempts)
    return batch


def _filled(
    bert: CrystalBERT,
    constraints: Sequence[Constraint],
    sizes: np.ndarray,
    stream: np.random.Generator,
    tries: int,
    temperature: float,
) -> tuple[SymmetricCrystal, int]:
    """A crystal, and how many compositions and sets of numbers were drawn for it."""
    attempts = 0
    for _ in range(tries):
        occupation = _occupation(sizes, stream)
        elements = _draw_elements(bert, occupation, constraints, stream)
        if elements is None:
            attempts += 1
            continue
        for _ in range(3):
            attempts += 1
            draft = _started(occupation, elements)
            _draw_numbers(bert, draft, stream, temperature)
            try:
                crystal = draft.crystal()
            except ValueError:  # three angles that no cell has
                continue
            if openness(crystal.structure()) >= CLOSEST:
                return crystal, attempts
    raise ConfigError("no open crystal is found whose elements the constraints allow.", where="constraints")


def _occupation(sizes: np.ndarray, stream: np.random.Generator) -> Occupation:
    """Positions of a known crystal of one of the sizes, elements left open."""
    seen = np.array([sum(p.count for p in observed(group)) for group in range(1, 231)], dtype=float)
    while True:
        group = int(stream.choice(230, p=seen / seen.sum())) + 1
        found = observed_occupation(Request(1, space_group=group), sizes, np.ones(len(sizes)), stream)
        if found is not None:
            return found


def _started(occupation: Occupation, elements: dict[int, int]) -> Draft:
    """A draft whose cell and coordinates are open.

    Args:
        occupation: Space group and positions.
        elements: Atomic number of each kind of the occupation.
    """
    letters = [at.letter for at in positions(occupation.group)]
    draft = Draft(closed=True)
    sizes = dict.fromkeys(elements, 0)
    for (kind, _), at in zip(occupation.orbits, occupation.positions, strict=True):
        sizes[kind] += at.multiplicity
    draft.counts.extend((elements[kind], size) for kind, size in sizes.items())
    draft.write(first_token(GROUP) + occupation.group - 1)
    for kind in sizes:
        for letter in sorted(letters.index(name) for z, name in occupation.orbits if z == kind):
            draft.write(position_tokens(occupation.group)[letter])
    return draft


def _places(draft: Draft) -> list[Place]:
    """Everything but the formula; numbers that are not drawn yet stand as the first token of their kind."""
    group = Place(first_token(GROUP) + draft.group - 1, 0.0, Question(GROUP))
    tokens = position_tokens(draft.group)
    orbits = [
        Place(tokens[positions(draft.group).index(at)], 0.0, Question(POSITION, element))
        for element, at in draft.orbits
    ]
    numbers = [*draft.values, *[0.0] * (len(draft.slots) - len(draft.values))]
    bins = [round(value) for value in numbers]
    rest = [
        Place(first_token(asked.kind) + whole, value - whole, asked)
        for asked, value, whole in zip(draft.slots, numbers, bins, strict=True)
    ]
    return [group, *orbits, *rest]


def _draw_elements(
    bert: CrystalBERT, occupation: Occupation, constraints: Sequence[Constraint], stream: np.random.Generator
) -> dict[int, int] | None:
    """An element for each kind of the occupation, all different; None where the constraints do not allow them.

    Each kind is asked from what the masks leave its atoms; required elements take the last kinds if no others did.
    """
    kinds = sorted({z for z, _ in occupation.orbits}, reverse=True)
    required = set(required_elements(constraints).tolist())
    if len(kinds) < len(required):
        return None
    owner = np.repeat([z for z, _ in occupation.orbits], occupation.sizes)
    cell = torch.zeros(1, len(owner), dtype=torch.long)
    # Names for kinds while they are open; the network does not see them.
    elements = {kind: k + 1 for k, kind in enumerate(kinds)}
    open_kinds = set(kinds)
    for kind in stream.permutation(kinds).tolist():
        draft = _started(occupation, elements)
        places = _places(draft)
        owners = [z for k in dict.fromkeys(z for z, _ in occupation.orbits) for z, _ in occupation.orbits if z == k]
        hidden = [1 + i for i, z in enumerate(owners) if z in open_kinds]
        numbers = list(range(1 + len(owners), len(places)))
        h = bert_features(bert, [places], [numbers], [hidden])[0]
        own = [1 + i for i, z in enumerate(owners) if z == kind]
        missing = required - {elements[k] for k in kinds if k not in open_kinds}
        allowed = _left(cell, int(np.flatnonzero(owner == kind)[0]), constraints)
        if len(missing) == len(open_kinds):
            allowed &= torch.isin(torch.arange(len(allowed)), torch.tensor(sorted(missing)))
        if not bool(allowed.any()):
            return None
        logits = bert_scores(bert, h[own], ELEMENT).mean(0).masked_fill(~allowed, -torch.inf)
        elements[kind] = _drawn(logits, stream)
        cell[0, torch.from_numpy(owner == kind)] = elements[kind]
        open_kinds.discard(kind)
    return elements if permitted(cell[0].numpy(), constraints) else None


def _left(cell: Tensor, atom: int, constraints: Sequence[Constraint]) -> Tensor:
    """(Z,) elements that masks leave an open atom of a cell (1, A), less those that other atoms have."""
    allowed = torch.ones(N_NUMBERS, dtype=torch.bool)
    allowed[0] = False
    allowed[cell[0]] = False
    for constraint in masking(constraints):
        allowed &= constraint.mask(cell, torch.ones_like(cell, dtype=torch.bool))[0, atom]
    return allowed


def _draw_numbers(bert: CrystalBERT, draft: Draft, stream: np.random.Generator, temperature: float) -> None:
    table = bert.vocabulary.table()
    first = 1 + len(draft.orbits)
    while (asked := draft.question()) is not None:
        at = first + len(draft.values)
        places = _places(draft)
        h = bert_features(bert, [places], [list(range(at, len(places)))], [[]])[0, at : at + 1]
        token = first_token(asked.kind) + _drawn(bert_scores(bert, h, asked.kind)[0] / temperature, stream)
        draft.write(token, float(bert.vocabulary.offsets(table, h, torch.tensor([token]))[0]))


def _drawn(logits: Tensor, stream: np.random.Generator) -> int:
    share = logits.softmax(-1).double().numpy()
    return int(stream.choice(len(share), p=share / share.sum()))
