"""A causal transformer that writes symmetric crystals: formula, space group, occupied Wyckoff positions, free numbers.

Sequences of Wyckoff positions: Wren (Goodall et al., Sci. Adv. 8, eabn4117, 2022), WyFormer (arXiv:2503.02407),
CrystalFormer (arXiv:2403.15734). Here the formula comes first, so that a given one is a prompt, and each
place is told what it asks for. Shapes: S sequences, L places, D width, T targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from matgen.errors import ConfigError
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.crystal_network import Asked, CrystalTokens, Wish
from matgen.nn.causal import CausalTransformer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.features.occupation import Occupation
    from matgen.features.symmetric import SymmetricCrystal
    from matgen.generators.crystal_sequences import CrystalSequences
    from matgen.runtime import Streams


@GENERATORS.register("gpt")
class CrystalGPT(Generator):
    """Autoregressive transformer of symmetric crystals.

    Args:
        width, layers, heads: Size of the :class:`CausalTransformer`.
        length: Most places of a sequence.
        max_atoms: Largest primitive cell.
        targets: Properties that can be asked for.
        dropout: Share of the embedded inputs that is hidden in training.
    """

    name = "gpt"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group", "target"})

    def __init__(
        self,
        width: int = 192,
        layers: int = 6,
        heads: int = 6,
        length: int = 112,
        max_atoms: int = 20,
        targets: Sequence[str] = (),
        dropout: float = 0.1,
    ) -> None:
        targets = list(targets)
        super().__init__(
            width=width,
            layers=layers,
            heads=heads,
            length=length,
            max_atoms=max_atoms,
            targets=targets,
            dropout=dropout,
        )
        self.max_atoms, self.length, self.targets, self.dropout = max_atoms, length, targets, dropout
        self.vocabulary = CrystalTokens(width, max_atoms)
        self.wish = Wish(width, max_atoms, targets)
        self.network = CausalTransformer(width, layers, heads, length)

    def gather(  # type: ignore[override]  # sequences of tokens instead of atoms
        self, sources: Sequence[str | Path], exclude: str | Path | None
    ) -> tuple[pd.DataFrame, CrystalSequences]:
        """Token sequences of the structures of data sets; what cannot be described is counted in the table's attrs."""
        from matgen.generators.crystal_sequences import gather_crystals

        return gather_crystals(sources, exclude, self.max_atoms, self.length, self.targets)

    def prepare(self, data: CrystalSequences) -> None:  # type: ignore[override]  # see gather
        """Take the scales of the targets from the training data."""
        for i, name in enumerate(self.targets):
            known = data.system[name][~data.system[name].isnan()]
            if len(known) > 1:
                self.wish.mean[i], self.wish.std[i] = known.mean(), known.std().clamp_min(1e-6)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross entropy of each token; space group, size and targets are each told for half of the crystals."""
        s = len(batch.tokens)
        group, size = (
            torch.where(torch.rand(s, generator=rng) < 0.5, values, 0) for values in (batch.space_group, batch.n_atoms)
        )
        stacked = [batch[name].float() for name in self.targets]
        targets = torch.stack(stacked, 1) if stacked else torch.zeros(s, 0)
        targets = targets.where(torch.rand(targets.shape, generator=rng) < 0.5, torch.nan)
        asked = Asked(batch.kind, batch.element, batch.position, batch.slot, batch.atoms)
        table = self.vocabulary.table()
        h = self.embedded(table, self.wish(group, size, targets), batch.tokens, batch.offsets, asked)
        if self.training and self.dropout:
            kept = torch.rand(h.shape, generator=rng) >= self.dropout
            h = h * kept / (1 - self.dropout)
        real = batch.tokens >= 0
        features = self.network(h)[real]
        return self.vocabulary.losses(table, features, batch.kind[real], batch.tokens[real], batch.offsets[real])

    def embedded(self, table: Tensor, first: Tensor, tokens: Tensor, offsets: Tensor, asked: Asked) -> Tensor:
        """(S, L, D): at each place the answer to the one before, and the question."""
        answers = self.vocabulary.answer(table, tokens[:, :-1].clamp_min(0), offsets[:, :-1])
        return torch.cat([first[:, None], answers], dim=1) + self.vocabulary.question(table, asked)

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` crystals; see :meth:`sample_each`."""
        return self.sample_each([request] * request.n, rng=rng, constraints=constraints, **options)

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One crystal a request, in the primitive cell; ``attempts`` tells how often each was drawn.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: Act on the formula through their masks.
            options: Of :class:`matgen.generators.gpt_sampling.Sampling`.
        """
        from matgen.data.structures import to_batch
        from matgen.generators.gpt_sampling import Sampling, sample_drafts

        found = sample_drafts(self, requests, rng, constraints, Sampling.of(**options))
        batch = to_batch([crystal.structure() for crystal, _ in found])
        batch.attempts = torch.tensor([attempts for _, attempts in found])
        return batch

    def sample_crystals(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> list[SymmetricCrystal]:
        """The crystals by their symmetry; arguments as of :meth:`sample_each`."""
        from matgen.generators.gpt_sampling import Sampling, sample_drafts

        return [crystal for crystal, _ in sample_drafts(self, requests, rng, constraints, Sampling.of(**options))]

    def propose_occupations(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> list[Occupation]:
        """Space group and elements on Wyckoff positions for each request; arguments as of :meth:`sample_each`."""
        from matgen.generators.gpt_sampling import Sampling, propose_occupations

        return propose_occupations(self, requests, rng, constraints, Sampling.of(**options))

    def wanted_targets(self, requests: Sequence[Request]) -> Tensor:
        """(S, T) targets, NaN where not given."""
        unknown = sorted({name for request in requests for name in request.target} - set(self.targets))
        if unknown:
            raise ConfigError(
                f"this model was not trained on {', '.join(unknown)}.",
                where="target",
                fix=f"It knows: {', '.join(self.targets) or 'no targets'}.",
            )
        rows = [[request.target.get(name, torch.nan) for name in self.targets] for request in requests]
        return torch.tensor(rows, dtype=torch.float32).reshape(len(requests), len(self.targets))
