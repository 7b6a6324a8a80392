"""A masked transformer on the tokens of symmetric crystals: what could sit on this site?

As BERT (Devlin et al., arXiv:1810.04805): parts of a crystal are hidden and guessed from all others. A crystal is a set
of places without order: its space group, its orbits (element and Wyckoff position, hidden independently), the numbers
of its cell, and coordinates that name their orbit. Shapes: S crystals, L places, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from matgen.generators.base import GENERATORS, Generator
from matgen.generators.crystal_network import CrystalTokens
from matgen.generators.crystal_tokens import COORDINATE, COUNT, ELEMENT, POSITION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.crystal_sequences import CrystalSequences
    from matgen.runtime import Streams

LABELS = 24
"""Names for orbits; each crystal draws its own, so that nothing can be read from their order."""


class Hidden(NamedTuple):
    """What the network does not see, each (S, L): tokens of places, and elements of orbits."""

    tokens: Tensor
    elements: Tensor


@GENERATORS.register("bert")
class CrystalBERT(Generator):
    """Masked transformer of symmetric crystals: fills in what is hidden, and embeds crystals.

    Args:
        width, layers, heads: Size of the transformer.
        length: Most places of a sequence, formula included.
        max_atoms: Largest primitive cell.
        single: Share of the crystals in training of which the element of just one orbit is hidden.
        targets: None are learned; for the recipe's sake.
    """

    name = "bert"
    chunk = 32

    def __init__(
        self,
        width: int = 192,
        layers: int = 5,
        heads: int = 6,
        length: int = 112,
        max_atoms: int = 20,
        single: float = 0.5,
        targets: Sequence[str] = (),
    ) -> None:
        super().__init__(
            width=width,
            layers=layers,
            heads=heads,
            length=length,
            max_atoms=max_atoms,
            single=single,
            targets=list(targets),
        )
        self.max_atoms, self.length, self.single, self.targets = max_atoms, length, single, list(targets)
        self.vocabulary = CrystalTokens(width, max_atoms)
        self.occupant = nn.Linear(width, width, bias=False)
        self.label = nn.Embedding(LABELS, width)
        self.unknown = nn.Embedding(2, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.network = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        nn.init.normal_(self.label.weight, std=0.05)

    def gather(  # type: ignore[override]  # sequences of tokens instead of atoms
        self, sources: Sequence[str | Path], exclude: str | Path | None
    ) -> tuple[pd.DataFrame, CrystalSequences]:
        """Token sequences of the structures of data sets, as for the causal transformer."""
        from matgen.generators.crystal_sequences import gather_crystals

        return gather_crystals(sources, exclude, self.max_atoms, self.length, self.targets)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy of what is hidden; ``element`` is that of the hidden elements alone."""
        table = self.vocabulary.table()
        hidden = self._hide(batch, rng)
        h = self.features(table, batch, hidden, rng)
        about, occupied = h[hidden.tokens], h[hidden.elements] + self.vocabulary.kind.weight[ELEMENT]
        kinds = torch.cat([batch.kind[hidden.tokens], torch.full((len(occupied),), ELEMENT)])
        tokens = torch.cat([batch.tokens[hidden.tokens], batch.element[hidden.elements]])
        offsets = torch.cat([batch.offsets[hidden.tokens], torch.zeros(len(occupied))])
        losses = self.vocabulary.losses(table, torch.cat([about, occupied]), kinds, tokens, offsets)
        losses["element"] = losses.pop("formula")
        return losses

    def _hide(self, batch: Batch, rng: torch.Generator) -> Hidden:
        """Half of the crystals lose one element, the others a random share of everything."""
        real = (batch.tokens >= 0) & (batch.kind > COUNT)
        orbit = real & (batch.kind == POSITION)
        s, length = real.shape
        share = torch.rand(s, 1, generator=rng)
        one = torch.rand(s, 1, generator=rng) < self.single
        tokens = real & (torch.rand(s, length, generator=rng) < share) & ~one
        elements = orbit & (torch.rand(s, length, generator=rng) < share) & ~one
        chosen = torch.rand(s, length, generator=rng).masked_fill(~orbit, -1.0).argmax(1)
        elements = elements | (one & (torch.arange(length) == chosen[:, None]))
        return Hidden(tokens, elements)

    def features(self, table: Tensor, batch: Batch, hidden: Hidden, rng: torch.Generator) -> Tensor:
        """(S, L, D) of all places; those of the formula take no part.

        Args:
            table: Embeddings of the tokens.
            batch: Sequences.
            hidden: What is not seen.
            rng: Draws the names of the orbits.
        """
        words = self.vocabulary
        real = (batch.tokens >= 0) & (batch.kind > COUNT)
        orbit, named = batch.kind == POSITION, (batch.kind == POSITION) | (batch.kind == COORDINATE)
        names = torch.rand(len(real), LABELS, generator=rng).argsort(1).to(batch.tokens.device)
        h = words.kind(batch.kind) + words.slot(batch.slot)
        h = h + self.label(names.gather(1, batch.orbit.clamp_max(LABELS - 1))) * named[..., None]
        shown = words.answer(table, batch.tokens.clamp_min(0), batch.offsets)
        h = h + torch.where(hidden.tokens[..., None], self.unknown.weight[0], shown)
        occupant = nn.functional.embedding(batch.element, self.occupant(table))
        occupant = torch.where(hidden.elements[..., None], self.unknown.weight[1], occupant)
        h = h + occupant * orbit[..., None]
        found: Tensor = self.network(h, src_key_padding_mask=~real)
        return found

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` crystals on occupations of known ones, see :mod:`matgen.generators.bert_sampling`."""
        from matgen.generators.bert_sampling import sample_filled

        return sample_filled(self, request, rng, constraints, **options)
