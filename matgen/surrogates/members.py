"""Training one member of an ensemble: a plain loop, resumable after each pass.

Shapes: B items in a batch, F embedding size.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from matgen.precision import native_bfloat16
from matgen.runtime import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How a member is trained.

    Args:
        epochs: Passes over the data.
        batch: Items in a batch.
        rate: Peak learning rate; one cycle of warm-up (5 %) and cosine decay to zero.
        decay: AdamW weight decay.
        clip: Largest gradient norm.
        device: torch device.
    """

    epochs: int
    batch: int
    rate: float
    decay: float
    clip: float = 5.0
    device: str = "cpu"


@dataclass(frozen=True)
class Task:
    """What a member learns.

    Args:
        items: Prepared inputs, one a material.
        values: (n,) scaled targets.
        collate: Makes a batch of chosen items, perturbed by a generator when one is given.
    """

    items: Sequence[Any]
    values: Tensor
    collate: Callable[[Sequence[Any], torch.Generator | None], Any]


def train_member(network: nn.Module, task: Task, schedule: Schedule, seed: int, checkpoint: Path | None = None) -> None:
    """Train ``network`` in place; with ``checkpoint``, an interrupted training goes on after its last whole pass.

    Every pass draws its order and noise from (seed, pass) alone, so a resumed training equals an undisturbed one.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=schedule.decay)
    steps = -(-len(task.items) // schedule.batch) * schedule.epochs
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=steps + 1, pct_start=0.05, cycle_momentum=False
    )
    parts = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
    first = _resume(parts, checkpoint)
    network.to(schedule.device).train()
    for epoch in range(first, schedule.epochs):
        start = time.perf_counter()
        with torch.random.fork_rng():  # dropout draws from torch's global stream
            torch.manual_seed(seed + epoch)
            mean_loss = _pass(network, task, schedule, optimizer, scheduler, seed + epoch)
        if checkpoint is not None:
            _keep(parts, checkpoint, epoch + 1)
        logger.info("pass %d/%d loss %.4f %.1f s", epoch + 1, schedule.epochs, mean_loss, time.perf_counter() - start)
    network.to("cpu").eval()


def loss_of(mean: Tensor, log_scale: Tensor, values: Tensor) -> Tensor:
    """Mean absolute error for the mean, Laplace likelihood for the width.

    |y - μ| + |y - μ|/b + log b, where the second part sees μ as a constant, so that learning the width never
    costs accuracy of the mean (Stirn et al., Faithful heteroscedastic regression, AISTATS 2023).
    """
    error = (values - mean).abs()
    return (error + error.detach() * torch.exp(-log_scale) + log_scale).mean()


def _pass(
    network: nn.Module,
    task: Task,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    seed: int,
) -> float:
    order = np.random.default_rng(seed).permutation(len(task.items))
    noise = torch.Generator().manual_seed(seed)
    kind = schedule.device.split(":")[0]
    total = 0.0
    for chosen in np.array_split(order, -(-len(order) // schedule.batch)):
        batch = task.collate([task.items[i] for i in chosen], noise).to(schedule.device)
        values = task.values[chosen].to(schedule.device)
        with torch.autocast(kind, torch.bfloat16, enabled=native_bfloat16(kind)):
            mean, log_scale, _ = network(batch)
        loss = loss_of(mean.float(), log_scale.float(), values)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        optimizer.step()
        scheduler.step()
        total += float((mean.detach().float() - values).abs().sum())
    return total / len(order)


def _resume(parts: dict[str, Any], checkpoint: Path | None) -> int:
    if checkpoint is None or not checkpoint.is_file():
        return 0
    kept = torch.load(checkpoint, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return int(kept["done"])


def _keep(parts: dict[str, Any], checkpoint: Path, done: int) -> None:
    with whole_file(checkpoint) as temporary:
        torch.save({**{name: part.state_dict() for name, part in parts.items()}, "done": done}, temporary)
