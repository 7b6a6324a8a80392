"""Training of the judge's network of sentence order on abstracts, and of the regression that joins its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.defects import parts_of
from matgen.assistant.ordering import LONGEST, order_evidence, pair_logits, sentence_features
from matgen.features.sentences import batches, encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

HIDDEN, EPOCHS, BATCH, RATE, DROPPED = 96, 4, 512, 2e-3, 0.3
POSITION_WEIGHT = 2.0
"""Weight of the second task, which is dropped after training: where in its abstract does a sentence stand?"""
NETWORK_SHARE = 0.9
"""Share of the abstracts that the network sees; the regression is fitted on the others."""


def train_order(texts: Sequence[str], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Weights of :func:`matgen.assistant.ordering.naturalness`, and AUCs on abstracts that the network has not seen.

    Args:
        texts: Abstracts.
        rng: Draws initial weights, batches and shuffled orders.
    """
    from sklearn.metrics import roc_auc_score

    documents = [parts for text in texts if len(parts := parts_of(text)) > 2]
    x = describe([part for parts in documents for part in parts])
    ends = np.cumsum([len(parts) for parts in documents])
    rows = [np.arange(end - len(parts), end) for end, parts in zip(ends, documents, strict=True)]
    cut = int(NETWORK_SHARE * len(rows))
    weights = _fit_network(x, rows[:cut], rng)
    logits = [pair_logits(x[r], weights) for r in rows[cut:]]
    above = np.concatenate([m[np.triu_indices(len(m), 1)] for m in logits])
    joined, auc = _fit_regression(logits, rng)
    labels = [1] * len(above) + [0] * len(above)
    pairs = float(roc_auc_score(labels, np.concatenate([above, -above])))
    return weights | joined, {"pairs of sentences": round(pairs, 4), "whole answers": round(auc, 4)}


def describe(sentences: Sequence[str]) -> np.ndarray:
    """(S, F) features of many sentences, through torch."""
    import torch

    encode = encoder()
    tokens = [e.ids for e in encode.tokenizer.encode_batch(list(sentences))]
    found: list[np.ndarray | None] = [None] * len(sentences)
    for rows in batches(np.array([len(t) for t in tokens])):
        ids = torch.tensor([tokens[i] for i in rows])
        with torch.inference_mode():
            out = encode.model(input_ids=ids, output_hidden_states=True).hidden_states
        for i, states in zip(rows, torch.stack(out, dim=1).float().numpy(), strict=True):
            found[i] = sentence_features(list(states))
    return np.stack([row for row in found if row is not None])


def _fit_network(x: np.ndarray, rows: Sequence[np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The network's weights, with the standardisation of features folded into the first layer."""
    import torch

    seen = np.concatenate(rows)
    mean, spread = x[seen].mean(axis=0), x[seen].std(axis=0) + 1e-3
    place = np.full(len(x), -1.0, dtype=np.float32)
    for r in rows:
        place[r] = np.linspace(0.0, 1.0, len(r))
    pairs = np.concatenate([np.stack(np.triu_indices(len(r), 1), axis=1) + r[0] for r in rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = _network(x.shape[1])
        _optimise(network, torch.from_numpy((x - mean) / spread), torch.from_numpy(place), pairs, rng)
    w = {name: p.detach().numpy() for name, p in network.named_parameters()}
    project = w["project.weight"] / spread
    bias = w["project.bias"] - project @ mean
    halved = {"order.project": project, "order.mix": w["mix.weight"], "order.out": w["out.weight"][0]}
    single = {"order.project_bias": bias, "order.mix_bias": w["mix.bias"]}
    return {k: v.astype(np.float16) for k, v in halved.items()} | {k: v.astype(np.float32) for k, v in single.items()}


def _network(features: int) -> Any:
    from torch.nn import Linear, ModuleDict

    return ModuleDict(
        {
            "project": Linear(features, HIDDEN),
            "mix": Linear(3 * HIDDEN, HIDDEN),
            "out": Linear(HIDDEN, 1, bias=False),
            "place": Linear(HIDDEN, 1),
        }
    )


def _optimise(network: Any, x: torch.Tensor, place: torch.Tensor, pairs: np.ndarray, rng: np.random.Generator) -> None:
    from torch.nn.functional import dropout, relu, softplus
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import OneCycleLR

    steps = EPOCHS * len(pairs) // BATCH
    optimiser = AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    schedule = OneCycleLR(optimiser, RATE, total_steps=steps)

    def side(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return network["out"](relu(network["mix"](_joined(a, b))))[:, 0]

    for _ in range(steps):
        chosen = pairs[rng.integers(0, len(pairs), BATCH)]
        a, b = (dropout(relu(network["project"](x[rows])), DROPPED) for rows in chosen.T)
        loss = softplus(side(b, a) - side(a, b)).mean()
        for u, rows in zip((a, b), chosen.T, strict=True):
            miss = network["place"](u)[:, 0].sigmoid() - place[rows]
            loss = loss + POSITION_WEIGHT * (miss**2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def _joined(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([a, b, a * b], dim=1)


def _fit_regression(logits: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    """Joins the evidence of windows of 2 to :data:`LONGEST` sentences, in their order and shuffled.

    Half of the windows begin with the abstract and half anywhere. The AUC is of five-fold cross-validation.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    evidence: list[np.ndarray] = []
    labels: list[int] = []
    for whole in logits:
        for opening in (True, False):
            n = int(rng.integers(2, min(LONGEST, len(whole)) + 1))
            start = 0 if opening else int(rng.integers(0, len(whole) - n + 1))
            window = whole[start : start + n, start : start + n]
            order = np.arange(n)
            while (order == np.arange(n)).all():
                order = rng.permutation(n)
            evidence += [order_evidence(window), order_evidence(window[np.ix_(order, order)])]
            labels += [1, 0]
    x, y = np.stack(evidence), np.array(labels)
    regression = LogisticRegression(max_iter=1000)
    auc = float(roc_auc_score(y, cross_val_predict(regression, x, y, cv=5, method="decision_function")))
    regression.fit(x, y)
    weights = {"order.evidence": regression.coef_[0], "order.evidence_bias": regression.intercept_}
    return {name: value.astype(np.float32) for name, value in weights.items()}, auc
