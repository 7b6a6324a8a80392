"""Training of the judge's two heads on abstracts and their spoiled versions.

``order``: does a sentence of an abstract come before another (:mod:`matgen.assistant.order_training`)? ``words``: is a
word out of place? Both are small networks over the frozen encoder; nothing else is learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.defects import parts_of, ungrammatical
from matgen.assistant.judging import LAYERS
from matgen.assistant.order_training import HIDDEN as ORDER_HIDDEN
from matgen.assistant.order_training import train_order
from matgen.features.sentences import encoder
from matgen.runtime import whole_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HIDDEN, STEPS, BATCH = 64, 1500, 512
WORD_TEXTS = 2000
"""Abstracts that the head of words learns from: more do not fit into memory."""


def train_heads(texts: Sequence[str], folder: Path, *, seed: int, sources: str) -> dict[str, Any]:
    """Train both heads and write ``judge.safetensors`` with its card ``judge.json``.

    Args:
        texts: Abstracts.
        folder: Where the files go.
        seed: Of the draws of pairs, edits and batches; each head has draws of its own, so that one can be trained
            alone.
        sources: What the texts are, for the card.
    """
    import torch
    from safetensors.numpy import save_file

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on how many threads share them: a repetition gives the same file
    try:
        order, order_scores = train_order(texts, np.random.default_rng([seed, 0]))
        words, words_score = train_words(texts, np.random.default_rng([seed, 1]))
    finally:
        torch.set_num_threads(threads)
    weights = order | {f"words.{key}": value for key, value in words.items()}
    with whole_file(folder / "judge.safetensors") as temporary:
        save_file(weights, temporary)
    card = {
        "what": "heads of the deterministic judge over all-MiniLM-L6-v2",
        "trained on": sources,
        "texts": len(texts),
        "order": {"hidden": ORDER_HIDDEN, "held-out AUC": order_scores},
        "words": {"texts": WORD_TEXTS, "layers": list(LAYERS), "hidden": HIDDEN, "held-out AUC by word": words_score},
    }
    write_json(folder / "judge.json", card)
    return card


def train_words(texts: Sequence[str], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    """Weights of the head of words, and its AUC on words of abstracts that it has not seen."""
    return _fit(*word_labels(texts[:WORD_TEXTS], rng), rng)


def word_labels(texts: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 3D) and labels (N,) of tokens: 1 where a spoiled sentence departs from the original."""
    import torch

    encode = encoder()
    kept = [p for text in texts for p in parts_of(text)[:2] if 40 < len(p) < 250]
    rows = [(p, None) for p in kept] + [(ungrammatical(p, rng, "train"), p) for p in kept]
    x, y = [], []
    for text, original in rows:
        tokens = encode.tokenizer.encode(text)
        with torch.inference_mode():
            out = encode.model(input_ids=torch.tensor([tokens.ids]), output_hidden_states=True)
        features = torch.cat([out.hidden_states[layer][0, 1:-1] for layer in LAYERS], dim=1)
        x.append(features.float().numpy().astype(np.float16))
        y.append(_departures(tokens.tokens[1:-1], encode.tokenizer.encode(original).tokens[1:-1] if original else None))
    return np.concatenate(x), np.concatenate(y).astype(np.float32)


def _departures(tokens: list[str], original: list[str] | None) -> np.ndarray:
    """(T,) 1 for tokens inside a difference from the original, and the one after a gap."""
    from difflib import SequenceMatcher

    marks = np.zeros(len(tokens))
    if original is None:
        return marks
    for tag, _, _, start, end in SequenceMatcher(None, original, tokens, autojunk=False).get_opcodes():
        if tag != "equal":
            marks[start : max(end, start + 1)] = 1.0
    return marks


def _fit(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    import torch
    from sklearn.metrics import roc_auc_score

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    cut = int(0.9 * len(x))
    w1 = torch.randn(HIDDEN, x.shape[1], generator=generator) / x.shape[1] ** 0.5
    b1, w2, b2 = torch.zeros(HIDDEN), torch.randn(HIDDEN, generator=generator) / HIDDEN**0.5, torch.zeros(())
    parameters = [p.requires_grad_() for p in (w1, b1, w2, b2)]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    balance = torch.tensor(float((1 - y[:cut]).sum() / max(1.0, y[:cut].sum())))

    def logits(rows: np.ndarray) -> torch.Tensor:
        return torch.relu(torch.from_numpy(x[rows].astype(np.float32)) @ w1.T + b1) @ w2 + b2

    for _ in range(STEPS):
        rows = rng.integers(0, cut, BATCH)
        target = torch.from_numpy(y[rows])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(rows), target, pos_weight=balance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        held = logits(np.arange(cut, len(x))).numpy()
    names = zip(("w1", "b1", "w2", "b2"), parameters, strict=True)
    weights = {name: p.detach().numpy().astype(np.float16 if p.ndim > 1 else np.float32) for name, p in names}
    return weights, round(float(roc_auc_score(y[cut:], held)), 4)
