"""A local Hugging Face model of the BERT family that ranks the passages found anew, where one is configured.

The index, the verification and the confidence keep the shipped encoder, to whose cosines their bounds were set: a
ranking model changes only the order, so it cannot make an answer of what would have been refused for want of support.
Cross-encoders: Nogueira and Cho, arXiv:1901.04085; sentence encoders: Reimers and Gurevych, arXiv:1908.10084.

Shapes: P passages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.errors import ConfigError
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RANKED = 24
"""How many of the passages that the index finds are ranked anew."""
LONGEST = 384
"""Tokens of question and passage that a model reads, if it can read so many."""


@dataclass(frozen=True)
class Ranker:
    """A cross-encoder (a sequence classifier with one label) or a sentence encoder (mean or first token).

    Args:
        folder: Holds ``config.json``, ``model.safetensors`` and the tokenizer; a sentence encoder may say in
            ``1_Pooling/config.json`` that its first token stands for the text.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / "config.json").is_file():
            raise ConfigError("no such model.", where=str(self.folder), fix="Give the folder of a Hugging Face model.")
        if self.crossing and self._config.num_labels != 1:
            fix = "Use a cross-encoder with one label, or a sentence encoder."
            raise ConfigError(f"it has {self._config.num_labels} labels.", where=str(self.folder), fix=fix)

    @property
    def crossing(self) -> bool:
        """Whether the model reads question and passage together."""
        return any("SequenceClassification" in name for name in self._config.architectures or ())

    def scores(self, question: str, passages: Sequence[str]) -> np.ndarray:
        """(P,) how well each passage answers; only differences count."""
        if self.crossing:
            found = self._run(self._tokens([question] * len(passages), list(passages))).logits[:, 0]
            return np.asarray(found.float().numpy())
        vectors = self._vectors([question, *passages])
        return np.asarray(vectors[1:] @ vectors[0])

    def _vectors(self, texts: list[str]) -> np.ndarray:
        """(P, D) unit vectors."""
        tokens = self._tokens(texts)
        states = self._run(tokens).last_hidden_state.float().numpy()
        weight = tokens["attention_mask"][..., None].numpy()
        pooled = states[:, 0] if self._first_token else (states * weight).sum(axis=1)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))

    def _run(self, tokens: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._model(**tokens)

    def _tokens(self, *texts: list[str]) -> Any:
        room = getattr(self._config, "max_position_embeddings", None) or LONGEST
        return self._tokenizer(
            *texts, truncation=True, padding=True, max_length=min(LONGEST, room - 2), return_tensors="pt"
        )

    @cached_property
    def _first_token(self) -> bool:
        path = self.folder / "1_Pooling" / "config.json"
        return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("pooling_mode_cls_token"))

    @cached_property
    def _config(self) -> Any:
        package = require("transformers", "local-llm")
        return package.AutoConfig.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _tokenizer(self) -> Any:
        package = require("transformers", "local-llm")
        return package.AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _model(self) -> Any:
        package = require("transformers", "local-llm")
        kind = package.AutoModelForSequenceClassification if self.crossing else package.AutoModel
        return kind.from_pretrained(str(self.folder), local_files_only=True, use_safetensors=True).eval()
