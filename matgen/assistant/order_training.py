"""Training of the judge's network of sentence order on abstracts, and of the regression that joins its evidence.

The network first learns which of two sentences comes first, the more of pairs that stand near each other, then to
tell windows of a few sentences from the same sentences shuffled. Shapes: S sentences of all abstracts, P pairs, B
windows of N sentences, F features of a sentence, K of a pair (:mod:`matgen.assistant.mentions`), H hidden units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.defects import parts_of
from matgen.assistant.mentions import KINDS, taken_up
from matgen.assistant.ordering import LONGEST, order_evidence, pair_logits, sentence_features
from matgen.features.sentences import batches, encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

HIDDEN, EPOCHS, BATCH, RATE, DROPPED = 128, 6, 512, 2e-3, 0.4
NEARNESS = 1.5
"""Pairs are drawn in proportion to this negative power of their distance in sentences."""
WINDOWS, WINDOW_STEPS, WINDOW_RATE = range(3, 8), 1500, 5e-4
"""Lengths of windows, and steps and learning rate of the second part."""
WINDOW_BATCH, SHUFFLES = 48, 4
"""Windows in a step, and shuffled orders that each is held against."""
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
    taken = [taken_up(parts) for parts in documents]
    weights = _fit_network(x, rows[:cut], taken[:cut], rng)
    logits = [pair_logits(x[r], t, weights) for r, t in zip(rows[cut:], taken[cut:], strict=True)]
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


def _fit_network(
    x: np.ndarray, rows: Sequence[np.ndarray], taken: Sequence[np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The network's weights, with the standardisation of features folded into the first layer.

    Args:
        x: (S, F).
        rows: Rows of each abstract's sentences.
        taken: (N, N, K) of each abstract.
        rng: Draws initial weights, pairs and windows.
    """
    import torch

    seen = np.concatenate(rows)
    mean, spread = x[seen].mean(axis=0), x[seen].std(axis=0) + 1e-3
    standard = torch.from_numpy((x - mean) / spread)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = _network(x.shape[1])
        _learn_pairs(network, standard, rows, taken, rng)
        _learn_windows(network, standard, rows, taken, rng)
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
            "mix": Linear(3 * HIDDEN + KINDS, HIDDEN),
            "out": Linear(HIDDEN, 1, bias=False),
            "place": Linear(HIDDEN, 1),
        }
    )


def _hidden(network: Any, x: torch.Tensor) -> torch.Tensor:
    """(..., H) of sentences."""
    from torch.nn.functional import dropout, relu

    return dropout(relu(network["project"](x)), DROPPED)


def _side(network: Any, a: torch.Tensor, b: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """(...) what speaks for the first before the second, from (..., H) twice and (..., K)."""
    import torch
    from torch.nn.functional import relu

    found: torch.Tensor = network["out"](relu(network["mix"](torch.cat([a, b, a * b, taken], dim=-1))))
    return found[..., 0]


def _optimiser(network: Any, rate: float, steps: int) -> Callable[[torch.Tensor], None]:
    """What takes one step down a loss."""
    from torch.optim import AdamW
    from torch.optim.lr_scheduler import OneCycleLR

    optimiser = AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    schedule = OneCycleLR(optimiser, rate, total_steps=steps)

    def step(loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    return step


def _learn_pairs(
    network: Any, x: torch.Tensor, rows: Sequence[np.ndarray], taken: Sequence[np.ndarray], rng: np.random.Generator
) -> None:
    """Which of two sentences comes first; beside it, where in its abstract each stands."""
    import torch
    from torch.nn.functional import softplus

    place = torch.zeros(len(x))
    for r in rows:
        place[r] = torch.linspace(0.0, 1.0, len(r))
    above = [np.triu_indices(len(r), 1) for r in rows]
    pairs = np.concatenate([np.stack(ij, axis=1) + r[0] for r, ij in zip(rows, above, strict=True)])
    forward = torch.from_numpy(np.concatenate([t[ij] for t, ij in zip(taken, above, strict=True)]))
    backward = torch.from_numpy(np.concatenate([t[ij[::-1]] for t, ij in zip(taken, above, strict=True)]))
    share = np.cumsum((pairs[:, 1] - pairs[:, 0]) ** -NEARNESS)
    steps = EPOCHS * len(pairs) // BATCH
    step = _optimiser(network, RATE, steps)
    for _ in range(steps):
        chosen = np.searchsorted(share, share[-1] * rng.random(BATCH))
        a, b = (_hidden(network, x[side]) for side in pairs[chosen].T)
        loss = softplus(_side(network, b, a, backward[chosen]) - _side(network, a, b, forward[chosen])).mean()
        for u, side in zip((a, b), pairs[chosen].T, strict=True):
            miss = network["place"](u)[:, 0].sigmoid() - place[side]
            loss = loss + POSITION_WEIGHT * (miss**2).mean()
        step(loss)


def _learn_windows(
    network: Any, x: torch.Tensor, rows: Sequence[np.ndarray], taken: Sequence[np.ndarray], rng: np.random.Generator
) -> None:
    """Log-probabilities of pairs that sum to more in a window's own order than in shuffled ones."""
    import torch
    from torch.nn.functional import logsigmoid, softplus

    long = {n: [i for i, r in enumerate(rows) if len(r) >= n] for n in WINDOWS}
    lengths = [n for n in WINDOWS if long[n]]
    step = _optimiser(network, WINDOW_RATE, WINDOW_STEPS)
    for _ in range(WINDOW_STEPS):
        n = int(rng.choice(lengths))
        chosen = rng.choice(long[n], WINDOW_BATCH)
        starts = [int(rng.integers(0, len(rows[i]) - n + 1)) for i in chosen]
        windows = np.stack([rows[i][s : s + n] for i, s in zip(chosen, starts, strict=True)])
        between = np.stack([taken[i][s : s + n, s : s + n] for i, s in zip(chosen, starts, strict=True)])
        u = _hidden(network, x[windows])
        a, b = u[:, :, None].expand(-1, -1, n, -1), u[:, None].expand(-1, n, -1, -1)
        f = _side(network, a, b, torch.from_numpy(between))
        log_p = logsigmoid(f - f.mT)
        i, j = np.triu_indices(n, 1)
        orders = [rng.permutation(n) for _ in range(SHUFFLES)]
        own = log_p[:, i, j].sum(dim=1)
        others = torch.stack([log_p[:, o[i], o[j]].sum(dim=1) for o in orders], dim=1)
        step(softplus(others - own[:, None]).mean() / n)


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
