"""A causal transformer that writes molecules token by token, whatever the notation.

Shapes: S molecules, L tokens of the longest, V tokens, T targets, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matgen.constraints.allowed_elements import AllowedElements
from matgen.constraints.molecule_quality import MolecularWeight
from matgen.data.molecules import canonical
from matgen.errors import ConfigError
from matgen.generators.base import Generator
from matgen.generators.layout import laid_out
from matgen.generators.masks import masking, open_elements
from matgen.generators.writing import Decoding, write_molecules
from matgen.nn.causal import CausalTransformer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from rdkit.Chem import Mol
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.sequences import SequenceSet
    from matgen.generators.writing import Rules
    from matgen.runtime import Streams


class MoleculeLanguage(Generator):
    """Writes molecules as sequences of tokens; subclasses say in which notation.

    Args:
        width, layers, heads: Size of the :class:`CausalTransformer`.
        length: Most tokens of a molecule, its end included.
        max_atoms: Most heavy atoms of a molecule that is learned from.
        targets: Properties that can be asked for.
        orders: In how many orders each molecule is learned: the canonical one, and others that begin at a random
            atom, which is what the continuation of a fragment needs.
        own: Further settings of a subclass.
    """

    steered_by_targets: ClassVar[bool] = True
    """Whether targets stand before the first token."""
    proposes = "molecules"
    chunk = 1024
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
        **own: Any,
    ) -> None:
        targets = list(targets)
        super().__init__(
            width=width,
            layers=layers,
            heads=heads,
            length=length,
            max_atoms=max_atoms,
            targets=targets,
            orders=orders,
            **own,
        )
        self.texts = self.all_tokens()
        self.length, self.targets = length, targets
        self.tokens = nn.Embedding(len(self.texts), width)
        self.start = nn.Embedding(2, width)
        self.asked = nn.ModuleList(
            nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width, bias=False))
            for _ in (targets if self.steered_by_targets else ())
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

    def rules(self, molecules: int, limits: Limits, fragment: str | None, linker: np.ndarray) -> Rules:
        """Which token may come next in each molecule.

        Args:
            molecules: S.
            limits: What may occur.
            fragment: Held fixed, see :mod:`matgen.generators.fragments`; None for none.
            linker: (S,) fewest atoms between two fragments.
        """
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

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` molecules; see :meth:`sample_each`."""
        return self.sample_each([request] * request.n, rng=rng, constraints=constraints, **options)

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        conformers: bool | str = False,
        **options: Any,
    ) -> Batch:
        """One molecule a request, with its ``smiles``.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: See :meth:`sample_smiles`.
            conformers: Whether coordinates are a conformer instead of a drawing in the plane, which takes some 20 ms a
                molecule, or the flow they come from, see :func:`matgen.generators.layout.laid_out`. Where none is found
                the drawing stays, with a ``reason``.
            options: See :meth:`sample_smiles`.
        """
        texts = self.sample_smiles(requests, rng=rng, constraints=constraints, **options)
        return laid_out(texts, rng, conformers)

    def sample_smiles(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        fragment: str | None = None,
        **options: Any,
    ) -> list[str]:
        """Canonical SMILES, one for each request; number ``i`` draws only from ``rng.at(i)``.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: ``elements`` and the upper end of ``molecular_weight`` act as masks. Hydrogen is not written
                and must be allowed.
            fragment: SMILES with ``*`` where something grows; two parts joined by ``.`` are linked.
            options: ``linker_atoms``, the range from which the number of heavy atoms between two linked parts is drawn
                (a least number: rings and branches that are begun are finished first); ``largest_ring`` and
                ``most_rings``, limits of the size and number of rings; and those of
                :class:`matgen.generators.writing.Decoding`: ``temperature``, ``top_k``, ``top_p``.
        """
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        rooted = torch.full((len(requests),), fragment is not None)
        with torch.no_grad():
            first = self.begin(self._wanted(requests), rooted)
        return self.written(first, rng=rng, constraints=constraints, fragment=fragment, **options)

    def written(
        self,
        first: Tensor,
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        fragment: str | None = None,
        linker_atoms: Sequence[int] = (1, 6),
        largest_ring: float = np.inf,
        most_rings: float = np.inf,
        steering: Tensor | None = None,
        **options: Any,
    ) -> list[str]:
        """Canonical SMILES of S molecules.

        Args:
            first: (S, D) what stands before the first token.
            rng: Streams by index.
            constraints: As of :meth:`sample_smiles`, like what follows.
            fragment: SMILES with ``*`` where something grows.
            linker_atoms: Heavy atoms between two linked parts.
            largest_ring: Atoms of the largest ring.
            most_rings: Most rings of a molecule.
            steering: (S, D) joins the embedding of every token.
            options: Of :class:`matgen.generators.writing.Decoding`.
        """
        how = Decoding(**options)
        limits = replace(limits_of(constraints), largest_ring=largest_ring, most_rings=most_rings)
        streams = rng.many(len(first))
        uniform = np.stack([stream.random(self.length, dtype=np.float32) for stream in streams])
        least, most = linker_atoms
        linker = np.array([stream.integers(least, most + 1) for stream in streams])
        rules = self.rules(len(first), limits, fragment, linker)
        rows = write_molecules(self, rules, first, torch.from_numpy(uniform), how, steering)
        return [canonical(self.read([self.texts[token] for token in row])) for row in rows]

    def _wanted(self, requests: Sequence[Request]) -> Tensor:
        """(S, T) targets, NaN where not given."""
        unknown = sorted({name for request in requests for name in request.target} - set(self.targets))
        if unknown:
            raise ConfigError(
                f"this model was not trained on {', '.join(unknown)}.",
                where="target",
                fix=f"It knows: {', '.join(self.targets) or 'no targets'}.",
            )
        rows = [[request.target.get(name, torch.nan) for name in self.targets] for request in requests]
        return torch.tensor(rows, dtype=torch.float32)

    def begin(self, targets: Tensor, rooted: Tensor) -> Tensor:
        """(S, D) embedding of what stands before the first token.

        Args:
            targets: (S, T) in the property's unit, NaN where not given.
            rooted: (S,) whether the molecule begins at an arbitrary atom.
        """
        h = self.start(rooted.long())
        standard = (targets - self.target_mean) / self.target_std
        for value, layer in zip(standard.unbind(1), self.asked, strict=True):
            known = ~value.isnan()
            pair = torch.stack([value.nan_to_num(), known.to(value.dtype)], dim=-1)
            h = h + layer(pair) * known[:, None]
        return h

    def forward(self, first: Tensor, tokens: Tensor) -> Tensor:
        """Logits (S, L + 1, V) of each next token after ``first (S, D)`` and ``tokens (S, L)``."""
        h = torch.cat([first[:, None], self.tokens(tokens)], dim=1)
        return self.head(self.network(h))


@dataclass(frozen=True)
class Limits:
    """What masks allow while a molecule is written.

    Args:
        elements: (119,) atomic numbers that may occur.
        heaviest: Largest molecular weight, g/mol.
        largest_ring: Atoms of the largest ring.
        most_rings: Most rings of a molecule.
    """

    elements: np.ndarray
    heaviest: float = np.inf
    largest_ring: float = np.inf
    most_rings: float = np.inf

    @property
    def of_rings(self) -> bool:
        """Whether rings are limited."""
        return min(self.largest_ring, self.most_rings) < np.inf


def limits_of(constraints: Sequence[Constraint]) -> Limits:
    """The limits of all constraints with a mask together.

    Raises:
        ConfigError: A mask depends on the whole composition, which is not known while a molecule is written; or it
            forbids hydrogen, which no SMILES writes.
    """
    masks = masking(constraints)
    weights = [constraint for constraint in masks if isinstance(constraint, MolecularWeight)]
    others = [constraint for constraint in masks if constraint not in weights]
    for constraint in others:
        if not isinstance(constraint, AllowedElements):
            raise ConfigError(
                f"the constraint {constraint.name!r} cannot act while a molecule is written.",
                where="constraints",
                fix="Let it check the finished molecules.",
            )
    allowed = open_elements(1, others)
    if not allowed[1]:
        raise ConfigError("hydrogen is not allowed.", where="constraints", fix="Allow H: SMILES imply it.")
    return Limits(allowed, min((weight.high for weight in weights), default=np.inf))
