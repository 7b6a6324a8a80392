"""Does a source entail a claim? A local Hugging Face model for natural-language inference, where one is configured.

Without one, :mod:`matgen.assistant.verification` rests on its rules of words, numbers, materials and polarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.errors import ConfigError
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEAST, MOST = 0.5, 0.5
"""Probability of entailment that a claim needs, and of contradiction from which it falls; over a source's sentences."""


@dataclass(frozen=True)
class Entailment:
    """A sequence classifier with labels that begin with ``entail`` and ``contra``, from a local folder.

    Args:
        folder: Holds ``config.json``, ``model.safetensors`` and the tokenizer.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / "config.json").is_file():
            raise ConfigError("no such model.", where=str(self.folder), fix="Give the folder of a Hugging Face model.")
        if {"entail", "contra"} - set(self.columns):
            found = ", ".join(self._model.config.id2label.values())
            fix = "Use a model trained for natural-language inference."
            raise ConfigError(f"the labels are {found}.", where=str(self.folder), fix=fix)

    @cached_property
    def _tokenizer(self) -> Any:
        package = require("transformers", "local-llm")
        return package.AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _model(self) -> Any:
        package = require("transformers", "local-llm")
        kind = package.AutoModelForSequenceClassification
        return kind.from_pretrained(str(self.folder), local_files_only=True, use_safetensors=True).eval()

    @cached_property
    def columns(self) -> dict[str, int]:
        """Column of the logits by the first six letters of its label."""
        return {str(label).lower()[:6]: int(i) for i, label in self._model.config.id2label.items()}

    def probabilities(self, premises: Sequence[str], claim: str) -> np.ndarray:
        """(N, 2) probability that each premise entails the claim and that it contradicts it."""
        import torch

        pairs = self._tokenizer(
            list(premises), [claim] * len(premises), truncation=True, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            found = self._model(**pairs).logits.softmax(-1).numpy()
        return np.asarray(found[:, [self.columns["entail"], self.columns["contra"]]])

    def fault(self, claim: str, premises: Sequence[str]) -> str:
        """Why a claim falls, or an empty string where some premise entails it and none contradicts it."""
        if not premises:
            return "there is no source"
        entailed, contradicted = self.probabilities(premises, claim).max(axis=0)
        if contradicted > MOST and contradicted > entailed:
            return f"a sentence of the source contradicts it ({contradicted:.2f})"
        if entailed < LEAST:
            return f"no sentence of the source entails it ({entailed:.2f})"
        return ""
