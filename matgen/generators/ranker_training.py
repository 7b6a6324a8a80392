"""Training the ranker on a library: each known structure is asked for with itself left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.errors import ConfigError
from matgen.generators.placement_features import placement_features
from matgen.generators.ranker import PlacementRanker, likeness, match_probability, oriented, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from matgen.generators.templates import TemplateLibrary

WARM_UP = 100
"""Steps over which the learning rate rises."""

FLOOR = 0.1
"""Added to the probability of being right: a composition whose structure nobody could guess teaches little."""

FEWEST_LESSONS = 50
"""With fewer, a ranker would learn its library by heart."""


@dataclass(frozen=True)
class Lesson:
    """One composition of the library.

    Args:
        features: (K, F) of its placements on the other templates.
        right: (K,) how probably each of them matches the known structure.
    """

    features: Tensor
    right: Tensor


def train_ranker(
    library: TemplateLibrary,
    *,
    seed: int = 0,
    epochs: int = 12,
    candidates: int = 128,
    most: int = 20_000,
    batch: int = 32,
    rate: float = 2e-3,
    log: Callable[[int, float], None] | None = None,
) -> PlacementRanker:
    """A ranker that maximises the probability that the vote falls on the right structure.

    The loss of a composition is -ln(Σ_j p_j m_j + 0.1), with p the softmax of the network's outputs over its
    placements and m_j the probability that placement j matches the known structure. AdamW, cosine schedule.

    Args:
        library: Templates; each is also a question.
        seed: Of the initial weights, of the choice of compositions and of their order.
        epochs: Passes over the compositions.
        candidates: Placements of each composition that are compared.
        most: Compositions at most; of a larger library a random part is asked.
        batch: Compositions a step.
        rate: Highest learning rate.
        log: Called after each pass with its number and mean loss.

    Raises:
        ConfigError: Too few structures of the library have another one with the same atom counts.
    """
    rng = np.random.default_rng(seed)
    lessons, names = gather(library, rng.permutation(len(library))[:most], candidates)
    if len(lessons) < FEWEST_LESSONS:
        raise ConfigError(
            f"only {len(lessons)} structures of the library teach a ranker anything.",
            where="ranker",
            fix="Use the shipped ranker, or give a larger library.",
        )
    with torch.random.fork_rng(devices=[]):  # initial weights and dropout, without touching the caller's stream
        torch.manual_seed(seed)
        ranker = _prepared(names, lessons).train()
        optimizer = torch.optim.AdamW(ranker.parameters(), lr=rate, weight_decay=1e-2)
        steps = epochs * -(-len(lessons) // batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, steps))
        for epoch in range(epochs):
            losses = list(_one_pass(ranker, optimizer, schedule, lessons, rng, batch))
            if log is not None:
                log(epoch, float(np.mean(losses)))
    return ranker.eval()


def gather(
    library: TemplateLibrary, indices: Sequence[int] | np.ndarray, candidates: int
) -> tuple[list[Lesson], tuple[str, ...]]:
    """The lessons that templates give, and the names of the features; a template alone with its counts gives none."""
    lessons, names = list[Lesson](), tuple[str, ...]()
    for i in indices:
        known = library.templates[i]
        composition = dict(zip(known.elements.tolist(), known.counts.tolist(), strict=True))
        placements = library.placements(composition, candidates, skip=int(i))
        if len(placements) < 2:
            continue
        order = np.argsort(known.elements)
        truth = library.pairs(int(i)).distribution[np.ix_(order, order)]
        distance = ((oriented(library, placements) - truth) ** 2).mean(axis=(1, 2, 3)) ** 0.5
        features = placement_features(library, placements, likeness(library, placements))
        names = tuple(features)
        right = match_probability(distance).astype(np.float32)
        lessons.append(Lesson(torch.from_numpy(stacked(features, names)), torch.from_numpy(right)))
    return lessons, names


def _prepared(names: tuple[str, ...], lessons: Sequence[Lesson]) -> PlacementRanker:
    ranker = PlacementRanker(names)
    everything = torch.cat([lesson.features for lesson in lessons])
    ranker.mean.copy_(everything.mean(0))
    ranker.scale.copy_(everything.std(0) + 1e-3)  # a feature that never varies in this library stays quiet elsewhere
    return ranker


def _one_pass(
    ranker: PlacementRanker,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    lessons: Sequence[Lesson],
    rng: np.random.Generator,
    batch: int,
) -> Iterator[float]:
    order = rng.permutation(len(lessons))
    for begin in range(0, len(order), batch):
        loss = _loss(ranker, [lessons[i] for i in order[begin : begin + batch]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def _loss(ranker: PlacementRanker, lessons: Sequence[Lesson]) -> Tensor:
    scores = ranker(torch.cat([lesson.features for lesson in lessons]))
    parts = scores.split([len(lesson.right) for lesson in lessons])
    right = [(part.softmax(0) * lesson.right).sum() for part, lesson in zip(parts, lessons, strict=True)]
    return -torch.log(torch.stack(right) + FLOOR).mean()


def _share_of_rate(step: int, steps: int) -> float:
    return float(min(1.0, step / WARM_UP) * 0.5 * (1 + np.cos(np.pi * min(step / max(steps, 1), 1.0))))
