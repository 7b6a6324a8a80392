"""Causal transformer over sequences of tokens, with a cache of keys and values for sampling one token at a time.

Shapes: S sequences, L positions, H heads, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cache:
    """Keys and values of the positions that are done, of all layers.

    Args:
        layers: Number of blocks.
        sequences: S.
        heads: H.
        length: Largest L.
        size: D / H.
        dtype: In which they are kept.
    """

    def __init__(
        self, layers: int, sequences: int, heads: int, length: int, size: int, dtype: torch.dtype = torch.float32
    ) -> None:
        self.keys = [torch.zeros(sequences, heads, length, size, dtype=dtype) for _ in range(layers)]
        self.values = [torch.zeros(sequences, heads, length, size, dtype=dtype) for _ in range(layers)]
        self.done = 0

    def keep(self, rows: Tensor) -> None:
        """Go on with these sequences only; the others have ended."""
        self.keys = [self._kept(k, rows) for k in self.keys]
        self.values = [self._kept(v, rows) for v in self.values]

    def _kept(self, store: Tensor, rows: Tensor) -> Tensor:
        # In place and without what is still empty: copying whole caches took a sixth of the time of sampling.
        store[: len(rows), :, : self.done] = store[:, :, : self.done][rows]
        return store[: len(rows)]


class CausalBlock(nn.Module):
    """Pre-norm attention over the positions so far, then a feed-forward layer (Radford et al., 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        """(S, L, D); position i sees positions 0 to i."""
        q, k, v = self._split(h)
        # Written out: for short sequences PyTorch's fused kernel is several times slower on a CPU in bfloat16.
        later = torch.ones(h.shape[1], h.shape[1], dtype=torch.bool, device=h.device).triu(1)
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(later, -1e4)
        return self._rest(h, scores.softmax(dim=-1).to(v.dtype) @ v)

    def step(self, h: Tensor, keys: Tensor, values: Tensor, done: int) -> Tensor:
        """(S, 1, D) of one new position; its key and value are written into the cache at ``done``."""
        q, k, v = self._split(h)
        keys[:, :, done : done + 1], values[:, :, done : done + 1] = k, v
        seen = F.scaled_dot_product_attention(q, keys[:, :, : done + 1], values[:, :, : done + 1])
        return self._rest(h, seen)

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s, length, d = h.shape
        qkv = self.qkv(self.before(h)).view(s, length, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _rest(self, h: Tensor, seen: Tensor) -> Tensor:
        h = h + self.out(seen.transpose(1, 2).flatten(2))
        return h + self.feed(self.between(h))


class CausalTransformer(nn.Module):
    """Embedded tokens to features from which the next token is read.

    Args:
        width: D.
        layers: Number of blocks.
        heads: H.
        length: Largest L.
    """

    def __init__(self, width: int = 192, layers: int = 5, heads: int = 6, length: int = 128) -> None:
        super().__init__()
        self.heads, self.length = heads, length
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(CausalBlock(width, heads) for _ in range(layers))
        self.final = nn.LayerNorm(width)
        nn.init.normal_(self.places.weight, std=0.02)

    def forward(self, h: Tensor) -> Tensor:
        """Features (S, L, D) of embedded tokens (S, L, D)."""
        h = h + self.places.weight[: h.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.final(h)

    def step(self, h: Tensor, cache: Cache) -> Tensor:
        """Features (S, D) of the next position, given its embedding (S, D); the cache moves on by one."""
        h = (h + self.places.weight[cache.done])[:, None]
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            h = block.step(h, keys, values, cache.done)  # type: ignore[operator]
        cache.done += 1
        return self.final(h)[:, 0]

    def cache(self, sequences: int) -> Cache:
        """An empty cache for S sequences, in the precision of matrix products here."""
        size = self.places.embedding_dim // self.heads
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        return Cache(len(self.blocks), sequences, self.heads, self.length, size, dtype)
