"""Embeddings and heads of the transformers that read and write crystals as tokens.

Shapes: S sequences, L places, V tokens, D width, T targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.generators.crystal_tokens import (
    BINS,
    COORDINATE,
    COUNT,
    ELEMENT,
    GROUP,
    POSITION,
    VOLUME,
    first_token,
    position_tokens,
    vocabulary,
)
from matgen.generators.token_features import token_features

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = range(8)


class Asked(NamedTuple):
    """The questions of places, each of one shape."""

    kind: Tensor
    element: Tensor
    position: Tensor
    slot: Tensor
    atoms: Tensor


class CrystalTokens(nn.Module):
    """Tokens and questions to vectors, and vectors to the probabilities of tokens.

    The embedding of a token is its own and that of what it has in common with others
    (:func:`matgen.generators.token_features.token_features`); the same table scores the answers.

    Args:
        width: D.
        max_atoms: Largest primitive cell.
    """

    features: Tensor
    bounds: Tensor

    def __init__(self, width: int, max_atoms: int) -> None:
        super().__init__()
        size = vocabulary(max_atoms)
        self.max_atoms = max_atoms
        features = torch.from_numpy(token_features(max_atoms))
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("bounds", _bounds(size), persistent=False)
        self.own = nn.Embedding(size, width)
        self.facts = nn.Linear(features.shape[1], width, bias=False)
        self.kind = nn.Embedding(len(KINDS), width)
        self.slot = nn.Embedding(3, width)
        self.atoms = nn.Embedding(max_atoms + 1, width)
        self.element = nn.Linear(width, width, bias=False)
        self.position = nn.Linear(width, width, bias=False)
        self.offset = nn.Linear(1, width, bias=False)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(size))
        self.within = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))
        for table in (self.own, self.kind, self.slot, self.atoms):
            nn.init.normal_(table.weight, std=0.05)
        nn.init.normal_(self.facts.weight, std=0.05)

    def table(self) -> Tensor:
        """(V, D) embeddings of all tokens."""
        return self.own.weight + self.facts(self.features)

    def prepared(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """(V, D) what elements and positions say in questions."""
        return self.element(table), self.position(table)

    def question(self, table: Tensor, asked: Asked, prepared: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(..., D) what is asked; ``prepared`` once for many calls."""
        element, position = prepared or self.prepared(table)
        h = self.kind(asked.kind) + self.slot(asked.slot) + self.atoms(asked.atoms)
        h = h + F.embedding(asked.element, element) * (asked.element > 0)[..., None]
        return h + F.embedding(asked.position, position) * (asked.position > 0)[..., None]

    def answer(self, table: Tensor, tokens: Tensor, offsets: Tensor) -> Tensor:
        """(..., D) what has been answered."""
        return F.embedding(tokens, table) + self.offset(offsets[..., None])

    def span(self, kind: int) -> slice:
        """Tokens that answer questions of a kind."""
        sizes = {ELEMENT: 119, GROUP: 230, POSITION: first_token(VOLUME) - first_token(POSITION), COUNT: self.max_atoms}
        return slice(first_token(kind), first_token(kind) + sizes.get(kind, BINS))

    def logits(self, table: Tensor, h: Tensor, kind: int) -> Tensor:
        """(N, n) scores of the tokens of a kind from features (N, D)."""
        span = self.span(kind)
        return (self.out(h) @ table[span].mT).float() * table.shape[1] ** -0.5 + self.bias[span]

    def offsets(self, table: Tensor, h: Tensor, tokens: Tensor) -> Tensor:
        """(N,) where in the bins ``tokens (N,)`` numbers lie."""
        return self.within(torch.cat([h, F.embedding(tokens, table)], dim=-1))[..., 0].float().tanh() / 2

    def losses(self, table: Tensor, h: Tensor, kind: Tensor, tokens: Tensor, offsets: Tensor) -> dict[str, Tensor]:
        """Cross entropy by part of the sequence in nats a place, and the mean error of offsets in bins.

        Args:
            table: See :meth:`table`.
            h: (N, D) features of places.
            kind: (N,) what they ask for.
            tokens: (N,) true answers.
            offsets: (N,) true offsets.
        """
        entropy = h.new_zeros(len(h), dtype=torch.float32)
        for one in KINDS:
            rows = (kind == one).nonzero()[:, 0]
            if len(rows):
                logits = self.logits(table, h[rows], one)
                if one == POSITION:
                    logits = self._of_the_group(logits, tokens[rows])
                right = tokens[rows] - first_token(one)
                entropy = entropy.index_put((rows,), F.cross_entropy(logits, right, reduction="none"))
        numeric = (kind >= VOLUME).nonzero()[:, 0]
        miss = (self.offsets(table, h[numeric], tokens[numeric]) - offsets[numeric]).abs().sum() / max(len(numeric), 1)
        parts = {
            "formula": entropy[kind <= COUNT],
            "symmetry": entropy[(kind == GROUP) | (kind == POSITION)],
            "cell": entropy[(kind >= VOLUME) & (kind < COORDINATE)],
            "coordinate": entropy[kind == COORDINATE],
        }
        shown = {name: values.detach().sum() / max(len(values), 1) for name, values in parts.items()}
        return {"loss": entropy.mean() + miss, "offset": miss.detach(), **shown}

    def _of_the_group(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Scores of positions of the same space group only."""
        low, high = (self.bounds[tokens] - first_token(POSITION)).unbind(1)
        places = torch.arange(logits.shape[1], device=logits.device)
        return logits.masked_fill((places < low[:, None]) | (places >= high[:, None]), -torch.inf)


class Wish(nn.Module):
    """What is asked of a whole crystal, as the vector that stands before the first place.

    Args:
        width: D.
        max_atoms: Largest primitive cell.
        targets: Names of properties that can be asked for.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, max_atoms: int, targets: Sequence[str]) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(width))
        self.group = nn.Embedding(231, width)
        self.size = nn.Embedding(max_atoms + 1, width)
        self.targets = nn.ModuleList(
            nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width, bias=False)) for _ in targets
        )
        for table in (self.group, self.size):
            nn.init.normal_(table.weight, std=0.05)
        self.register_buffer("mean", torch.zeros(len(targets)))
        self.register_buffer("std", torch.ones(len(targets)))

    def forward(self, group: Tensor, size: Tensor, targets: Tensor) -> Tensor:
        """(S, D) from space groups and atoms (0 where not given) and targets (S, T) in their unit (NaN likewise)."""
        h = self.start + self.group(group) + self.size(size)
        standard = (targets - self.mean) / self.std
        for value, layer in zip(standard.unbind(1), self.targets, strict=True):
            known = ~value.isnan()
            pair = torch.stack([value.nan_to_num(), known.to(value.dtype)], dim=-1)
            h = h + layer(pair) * known[:, None]
        return h


def _bounds(size: int) -> Tensor:
    """(V, 2) first and last-but-one token of the space group of each position."""
    found = torch.zeros(size, 2, dtype=torch.long)
    for group in range(1, 231):
        span = position_tokens(group)
        found[span.start : span.stop] = torch.tensor([span.start, span.stop])
    return found
