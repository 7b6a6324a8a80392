"""A condition in plain words: what a sentence says to the network, to the elements, and to size and symmetry.

The sentence's vector is fixed and computed once (:mod:`matgen.features.sentences`); only what is made of it is
learned. What it says of elements, size and symmetry is learned first, without the network, and multiplies what the
network says: p(element | state, words) ∝ p(element | state) p(element | words) / p(element). What it says to the
network is nothing at the start, and learned with it. Shapes: S systems, E features of a sentence, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.features.sentences import SIZE, encoder
from matgen.generators.descriptions import describe_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.data.batches import TrainingSet

EACH = 1
"""Sentences composed of each crystal of the training data."""

FORGOTTEN = 0.2
"""Share of the systems that learn without words, for classifier-free guidance (Ho & Salimans, arXiv:2207.12598)."""

UNSEEN = 0.01
"""Count of sizes and space groups that do not occur together in the training data, beside those that do."""

_SEED = 0


class Words(nn.Module):
    """Reads the vectors of sentences.

    Args:
        width: D.
        max_atoms: Largest cell.
    """

    def __init__(self, width: int, max_atoms: int) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Linear(SIZE, width), nn.SiLU(), nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU()
        )
        self.steer = _silent(width, width)
        self.elements = _silent(width, 119)
        self.sizes = _silent(width, max_atoms + 1)
        self.groups = _silent(width, 231)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What joins the condition (S, D) and the logits of the elements (S, 119); nothing where a vector is zero."""
        h, known = self._read(vectors)
        return self.steer(h) * known, self.elements(h) * known

    def joint(self, vectors: Tensor, prior: Tensor) -> Tensor:
        """(S, sizes, groups) log probabilities of size and space group together.

        Args:
            vectors: (S, E).
            prior: (sizes, groups) their counts in the training data.
        """
        h, known = self._read(vectors)
        said = self.sizes(h)[:, :, None] + self.groups(h)[:, None]
        logits = (prior + UNSEEN).log() + said * known[..., None]
        return logits.flatten(1).log_softmax(-1).view_as(logits)

    def loss(self, vectors: Tensor, sizes: Tensor, groups: Tensor, prior: Tensor) -> Tensor:
        """Mean negative log probability of size and space group, in nats."""
        joint = self.joint(vectors, prior)
        return F.nll_loss(joint.flatten(1), sizes * joint.shape[2] + groups)

    def fit(self, data: TrainingSet, prior: Tensor, counts: Tensor, steps: int = 1_000, batch: int = 512) -> None:
        """Learn what sentences say of elements, size and space group, by AdamW; costs seconds.

        Args:
            data: With ``words`` and ``space_group``.
            prior: (sizes, groups) counts in the training data.
            counts: (119,) of the elements there.
            steps: Of the optimizer.
            batch: Crystals in a step.
        """
        rng = torch.Generator().manual_seed(_SEED)
        optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=0.02)
        usual, shares = (counts + 1e-3).log(), _element_shares(data)
        for step in range(steps):
            rows = torch.randint(len(data), (batch,), generator=rng)
            vectors = words_shown(data.system["words"][rows], rng)
            logits = usual + self(vectors)[1]
            miss = -(logits.log_softmax(-1) * shares[rows]).sum(-1).mean()
            miss = miss + self.loss(vectors, data.sizes[rows], data.system["space_group"][rows], prior)
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
            optimizer.zero_grad()
            miss.backward()
            optimizer.step()

    def _read(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        known = (vectors != 0).any(-1, keepdim=True)
        # Entries of a unit vector are small; the network wants them around one.
        return self.read(vectors * SIZE**0.5), known


def sentence_vectors(texts: Sequence[str]) -> Tensor:
    """(texts, E) unit vectors."""
    return torch.from_numpy(encoder()(texts))


def composed_vectors(structures: Sequence[Structure], groups: Tensor, columns: Mapping[str, Sequence[float]]) -> Tensor:
    """(S, EACH, E) vectors of sentences about each crystal; arguments as of :func:`.describe_all`."""
    texts = describe_all(structures, groups.tolist(), columns, np.random.default_rng(_SEED), EACH)
    return sentence_vectors(texts).view(len(structures), EACH, SIZE)


def words_shown(vectors: Tensor, rng: torch.Generator) -> Tensor:
    """(S, E) one sentence of those of each crystal (S, K, E), zero where it is forgotten."""
    s, k, _ = vectors.shape
    which = torch.randint(k, (s,), generator=rng)
    told = torch.rand(s, generator=rng) >= FORGOTTEN
    return vectors[torch.arange(s), which] * told[:, None]


def _element_shares(data: TrainingSet) -> Tensor:
    """(S, 119) shares of the elements of each crystal."""
    owner = torch.repeat_interleave(torch.arange(len(data)), data.sizes)
    counts = torch.zeros(len(data), 119).index_put_((owner, data.numbers), torch.ones(len(owner)), accumulate=True)
    return counts / data.sizes[:, None]


def _silent(width: int, size: int) -> nn.Linear:
    """A layer that says nothing before it is trained."""
    layer = nn.Linear(width, size, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
