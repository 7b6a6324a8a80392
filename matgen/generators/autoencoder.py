"""The contract of an autoencoder: structures to codes and back, and which codes fit a request.

Shapes: S systems, C size of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from matgen.generators.base import Generator
from matgen.generators.masks import masking
from matgen.runtime import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.batches import TrainingSet
    from matgen.data.request import Request


class Autoencoder(Generator):
    """A generator with a latent space; generators that draw codes (:mod:`matgen.generators.latent`) stand on it."""

    code_size: int
    """C."""
    chemical_size: int = 0
    """How many numbers of a code, the first, hold the composition and nothing else; 0 where it is not apart."""

    def gather_plain(
        self, sources: Sequence[str | Path], exclude: str | Path | None, max_atoms: int
    ) -> tuple[pd.DataFrame, TrainingSet]:
        """Rows and tensors of which codes are learned from; arguments as of :meth:`gather`.

        Args:
            sources: Ingested data sets or files.
            exclude: A data set whose ids must not be learned from.
            max_atoms: Largest cell, where structures are cells.
        """
        raise NotImplementedError

    def encode(self, batch: Batch) -> Tensor:
        """Codes (S, C) of structures, however they are spelled."""
        raise NotImplementedError

    def encode_prepared(self, batch: Batch) -> Tensor:
        """Codes (S, C) of a batch of a training set, which is in the spelling that the encoder expects."""
        raise NotImplementedError

    def decode(
        self,
        codes: Tensor,
        *,
        rng: Streams,
        requests: Sequence[Request] | None = None,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One structure for each code (S, C)."""
        raise NotImplementedError

    def draw_codes(self, noise: Tensor) -> Tensor:
        """Codes (S, C) as those of the training data are distributed, from standard normal noise (S, C)."""
        raise NotImplementedError

    def fitness(self, codes: Tensor, request: Request, constraints: Sequence[Constraint]) -> Tensor:
        """(S,) how well codes (S, C) fit a request and the constraints with a mask; large is good."""
        raise NotImplementedError

    def chooses(self, request: Request, constraints: Sequence[Constraint]) -> bool:
        """Whether codes are chosen among several for this request and the constraints with a mask."""
        raise NotImplementedError

    def reconstruct(self, batch: Batch, *, rng: Streams, **options: Any) -> Batch:
        """What the decoder makes of the codes of structures."""
        return self.decode(self.encode(batch), rng=rng, **options)

    @staticmethod
    def between(first: Tensor, second: Tensor, n: int) -> Tensor:
        """(n, C) codes on the straight line from code ``first (C,)`` to ``second (C,)``, both ends among them."""
        return torch.lerp(first[None], second[None], torch.linspace(0, 1, n)[:, None])

    @torch.no_grad()
    def fittest_codes(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint],
        candidates: int,
        source: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """(S, C) codes drawn for each request: the first draw, or where :meth:`chooses` says so the best of several.

        Args:
            requests: What is asked of each.
            rng: Streams by sample index; codes have streams of their own beside the decoder's.
            constraints: Those with a mask count as asked.
            candidates: Codes to choose from.
            source: From standard normal noise (S, C) to codes (S, C).
        """
        for request in requests:
            request.require_honoured_by(self.conditions, self.name)
        streams = Streams(rng.seed, f"{rng.name}/code", rng.start).many(len(requests))
        masks = masking(constraints)
        counts = [candidates if self.chooses(request, masks) else 1 for request in requests]
        noise = [stream.standard_normal((n, self.code_size)) for stream, n in zip(streams, counts, strict=True)]
        drawn = source(torch.from_numpy(np.concatenate(noise)).float()).split(counts)
        best = [
            codes[self.fitness(codes, request, masks).argmax()] if len(codes) > 1 else codes[0]
            for codes, request in zip(drawn, requests, strict=True)
        ]
        return torch.stack(best)

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        candidates: int = 64,
        source: Callable[[Tensor], Tensor] | None = None,
        **options: Any,
    ) -> Batch:
        """One structure a request, from codes of the learned distribution.

        Args:
            requests: What is asked of each sample.
            rng: Streams by sample index.
            constraints: Those with a mask act while a code is decoded.
            candidates: Where something is asked, the code is the one of so many that fits best.
            source: From standard normal noise (S, C) to codes (S, C); :meth:`draw_codes` where not given.
            options: As for :meth:`decode`.
        """
        codes = self.fittest_codes(
            requests, rng=rng, constraints=constraints, candidates=candidates, source=source or self.draw_codes
        )
        return self.decode(codes, rng=rng, requests=requests, constraints=constraints, **options)
