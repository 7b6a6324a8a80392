"""Writing molecules token by token: the transformer proposes, the grammar masks, a template may hold parts fixed.

Shapes: S molecules, V tokens, L tokens of the longest, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from matgen.errors import ConfigError
from matgen.precision import inference_precision

if TYPE_CHECKING:
    from torch import Tensor

    from matgen.generators.language import MoleculeLanguage

KEPT = 0.75
"""Share of unfinished molecules under which finished ones are dropped from the batch."""


class Rules(Protocol):
    """Which token may come next in each of S molecules."""

    def mask(self) -> np.ndarray:
        """(S, V)."""
        ...

    def advance(self, chosen: np.ndarray) -> None:
        """Write the tokens (S,)."""
        ...

    def select(self, rows: np.ndarray) -> None:
        """Go on with these molecules only."""
        ...


@dataclass(frozen=True)
class Decoding:
    """How the next token is drawn.

    Args:
        temperature: Below 1 favours what is common in the training data, above 1 what is rare.
        top_k: Only so many of the likeliest tokens; 0 for all.
        top_p: Only the likeliest tokens that together have this probability (Holtzman et al., arXiv:1904.09751).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ConfigError(
                "temperature must be above 0, top_k at least 0, top_p in (0, 1].", where="temperature, top_k, top_p"
            )

    def draw(self, logits: Tensor, allowed: Tensor, uniform: Tensor) -> Tensor:
        """(S,) tokens from logits (S, V), the mask (S, V) and uniform numbers (S,)."""
        scaled = logits.masked_fill(~allowed, -torch.inf) / self.temperature
        ordered, token = scaled.softmax(-1).sort(dim=-1, descending=True, stable=True)
        if self.top_k:
            ordered[:, self.top_k :] = 0
        before = ordered.cumsum(-1) - ordered
        ordered = ordered.where(before < self.top_p, 0)
        heaped = ordered.cumsum(-1)
        # A uniform number just below 1 must not fall on a token without probability.
        last = (ordered > 0).sum(-1, keepdim=True) - 1
        place = (heaped <= uniform[:, None] * heaped[:, -1:]).sum(-1, keepdim=True).minimum(last)
        return token.gather(1, place)[:, 0]


def write_molecules(
    model: MoleculeLanguage,
    rules: Rules,
    first: Tensor,
    uniform: Tensor,
    how: Decoding = Decoding(),
    steering: Tensor | None = None,
) -> list[list[int]]:
    """Write S molecules to their end.

    Args:
        model: The trained transformer.
        rules: Grammar, with whatever is held fixed.
        first: (S, D) what stands before the first token.
        uniform: (S, L) uniform numbers, one for each token.
        how: How tokens are drawn.
        steering: (S, D) joins the embedding of every token; None for nothing.

    Returns:
        The numbers of the tokens of each molecule, without the end.
    """
    # One context around all steps: it keeps the weights in its precision until it is left.
    with torch.no_grad(), inference_precision(first.device):
        written = _written(model, rules, first, uniform, how, steering)
    return [[token for token in row if token] for row in written]


def _written(
    model: MoleculeLanguage, rules: Rules, first: Tensor, uniform: Tensor, how: Decoding, steering: Tensor | None
) -> list[list[int]]:
    written: list[list[int]] = [[] for _ in range(len(first))]
    rows = np.arange(len(first))
    live = np.ones(len(first), dtype=bool)
    cache = model.network.cache(len(first))
    h = first
    known = model.counts > 0
    for place in range(uniform.shape[1]):
        features = model.network.step(h, cache)
        with torch.autocast(first.device.type, enabled=False):  # probabilities in full precision
            logits = model.head(features.float())
        mask = torch.from_numpy(rules.mask())
        mask[~live], mask[~live, 0] = False, True
        learned = mask & known
        allowed = torch.where(learned.any(1, keepdim=True), learned, mask)
        chosen = how.draw(logits, allowed, uniform[rows, place])
        rules.advance(chosen.numpy())
        for row, token in zip(rows[live], chosen[live].tolist(), strict=True):
            written[row].append(token)
        live &= chosen.numpy() != 0
        if not live.any():
            break
        if live.mean() < KEPT:
            kept = np.flatnonzero(live)
            rules.select(kept)
            cache.keep(torch.from_numpy(kept))
            rows, live, chosen = rows[kept], live[kept], chosen[kept]
        h = model.tokens(chosen)
        if steering is not None:
            h = h + steering[rows]
    return written
