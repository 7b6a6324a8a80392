"""A causal transformer that writes molecules token by token, whatever the notation.

Shapes: S molecules, L tokens of the longest, V tokens, T targets, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.generators.base import Generator
from matgen.nn.causal import CausalTransformer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from rdkit.Chem import Mol
    from torch_geometric.data import Batch

    from matgen.generators.sequences import SequenceSet


class MoleculeLanguage(Generator):
    """Writes molecules as sequences of tokens; subclasses say in which notation.

    Args:
        width, layers, heads: Size of the :class:`CausalTransformer`.
        length: Most tokens of a molecule, its end included.
        max_atoms: Most heavy atoms of a molecule that is learned from.
        targets: Properties that can be asked for.
        orders: In how many orders each molecule is learned: the canonical one, and others that begin at a random
            atom, which is what the continuation of a fragment needs.
    """

    texts: tuple[str, ...]
    """The tokens; number 0 is the end."""
    target_mean: Tensor
    target_std: Tensor
    counts: Tensor

    def __init__(
        self,
        width: int = 192,
        layers: int = 5,
        heads: int = 6,
        length: int = 96,
        max_atoms: int = 40,
        targets: Sequence[str] = (),
        orders: int = 2,
    ) -> None:
        targets = list(targets)
        super().__init__(
            width=width, layers=layers, heads=heads, length=length, max_atoms=max_atoms, targets=targets, orders=orders
        )
        self.texts = self.all_tokens()
        self.length, self.targets = length, targets
        self.tokens = nn.Embedding(len(self.texts), width)
        self.start = nn.Embedding(2, width)
        self.asked = nn.ModuleList(
            nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width, bias=False)) for _ in targets
        )
        self.network = CausalTransformer(width, layers, heads, length)
        self.head = nn.Linear(width, len(self.texts))
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.register_buffer("target_mean", torch.zeros(len(targets)))
        self.register_buffer("target_std", torch.ones(len(targets)))
        self.register_buffer("counts", torch.zeros(len(self.texts)))

    @classmethod
    def all_tokens(cls) -> tuple[str, ...]:
        """The tokens of the notation, the end first."""
        raise NotImplementedError

    @classmethod
    def write(cls, molecule: Mol, root: int = -1) -> list[str]:
        """Tokens of a molecule, from the atom ``root`` on; a ValueError says why it cannot be written."""
        raise NotImplementedError

    @classmethod
    def read(cls, tokens: Sequence[str]) -> str:
        """SMILES of a finished sequence of tokens."""
        raise NotImplementedError

    def gather(  # type: ignore[override]  # token sequences instead of structures
        self, sources: Sequence[str | Path], exclude: str | Path | None
    ) -> tuple[pd.DataFrame, SequenceSet]:
        """Molecules of SMILES tables or ingested data sets as token sequences."""
        from matgen.generators.sequence_gathering import gather_sequences

        return gather_sequences(sources, self, exclude)

    def prepare(self, data: SequenceSet) -> None:  # type: ignore[override]  # token sequences instead of structures
        """Take scales of the targets, and which tokens occur, from the training data."""
        for i, name in enumerate(self.targets):
            known = data.system[name][~data.system[name].isnan()]
            self.target_mean[i], self.target_std[i] = known.mean(), known.std().clamp_min(1e-6)
        self.counts.copy_(torch.bincount(data.tokens, minlength=len(self.texts)).float())

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy of each next token in nats; each target is forgotten in half of the molecules."""
        values = [batch[name].float() for name in self.targets]
        stacked = torch.stack(values, 1) if values else torch.zeros(len(batch.tokens), 0)
        shown = torch.rand(stacked.shape, generator=rng) < 0.5
        first = self.begin(stacked.where(shown, torch.nan), batch.rooted)
        logits = self(first, batch.tokens[:, :-1].clamp_min(0))
        entropy = F.cross_entropy(logits.flatten(0, 1).float(), batch.tokens.flatten(), ignore_index=-1)
        return {"loss": entropy}

    def begin(self, targets: Tensor, rooted: Tensor) -> Tensor:
        """(S, D) embedding of what stands before the first token.

        Args:
            targets: (S, T) in the property's unit, NaN where not given.
            rooted: (S,) whether the molecule begins at an arbitrary atom.
        """
        h = self.start(rooted.long())
        for value, embed in zip(((targets - self.target_mean) / self.target_std).unbind(1), self.asked, strict=True):
            known = ~value.isnan()
            pair = torch.stack([value.nan_to_num(), known.to(value.dtype)], dim=-1)
            h = h + embed(pair) * known[:, None]
        return h

    def forward(self, first: Tensor, tokens: Tensor) -> Tensor:
        """Logits (S, L + 1, V) of each next token after ``first (S, D)`` and ``tokens (S, L)``."""
        h = torch.cat([first[:, None], self.tokens(tokens)], dim=1)
        return self.head(self.network(h))
