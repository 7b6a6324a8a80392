"""The one training loop: Lightning Fabric under a loop that can be read from top to bottom.

Devices, precision and distributed training come from Fabric; the schedule, the averaged weights, the metrics file and
the resumable checkpoint are here. Everything random is derived from (seed, step), so a resumed run repeats exactly
what an undisturbed one does.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from matgen.errors import ConfigError, did_you_mean
from matgen.precision import training_precision
from matgen.runtime import content_id, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch_geometric.data import Batch

    from matgen.data.batches import TrainingSet

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"


class Learner(Protocol):
    """What the loop needs of a model besides being an ``nn.Module``.

    A model may have ``paces``: by name of a child module, the multiple of the learning rate at which it learns.
    """

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Scalar losses; ``"loss"`` is minimised."""
        ...


@dataclass(frozen=True)
class Training:
    """Settings of a training.

    Args:
        steps: Optimizer steps.
        atoms: Atoms in a batch.
        lr: Peak learning rate.
        warmup: Steps of linear warm-up.
        cooldown: Share of the steps, at the end, in which the rate falls to zero along a cosine.
        weight_decay: On matrices only.
        clip: Largest gradient norm.
        ema: Decay of the averaged weights that are evaluated and kept.
        precision: Fabric's name. ``bf16-mixed`` is faster where the device has bfloat16 of its own; elsewhere it
            becomes ``32-true``.
        device: ``auto``, ``cpu`` or ``cuda``.
        save_every: Steps between checkpoints and validations.
        seed: Of everything random.
        optimizer: ``adamw``, ``adam``, ``sgd`` (momentum 0.9) or ``adagrad``.
        betas: Decay of the averages of gradients and of their squares, of ``adamw`` and ``adam``.
    """

    steps: int = 20_000
    atoms: int = 2_560
    lr: float = 1e-3
    warmup: int = 500
    cooldown: float = 0.3
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "32-true"
    device: str = "auto"
    save_every: int = 500
    seed: int = 0
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, plateau, cosine to zero (Hu et al., arXiv:2404.06395)."""
        falling = max(1.0, self.cooldown * self.steps)
        left = min(1.0, max(0.0, (self.steps - step) / falling))
        return self.lr * min(1.0, (step + 1) / self.warmup) * 0.5 * (1 - math.cos(math.pi * left))


def fit(
    model: Model,
    data: TrainingSet,
    folder: str | Path,
    settings: Training,
    validation: TrainingSet | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Model:
    """Train ``model`` in place and return its averaged copy.

    Writes ``metrics.jsonl`` and ``checkpoint.safetensors`` into ``folder``; the same call on the same folder goes on
    from the checkpoint.

    Args:
        model: An ``nn.Module`` with a ``loss``, see :class:`Learner`.
        data: What to learn from.
        folder: Where checkpoints and metrics go.
        settings: See :class:`Training`.
        validation: Held-out structures for a validation loss at each checkpoint.
        progress: Called after each step with (step, steps, losses).

    Raises:
        ConfigError: The folder holds a checkpoint of other settings or another model.
    """
    from lightning.fabric import Fabric

    folder = Path(folder)
    accelerator = {"auto": "auto", "cpu": "cpu", "cuda": "cuda"}[settings.device]
    device = Fabric(accelerator=accelerator, devices=1).device.type
    precision = training_precision(settings.precision, device)
    if precision != settings.precision:
        log.info("training in %s: this %s has no bfloat16 of its own", precision, device)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    average = _copy(model)
    wrapped, optimizer = fabric.setup(model, _optimizer(model, settings))
    wrapped.mark_forward_method("loss")
    average.to(fabric.device)
    loop = Loop(settings, model, average, optimizer, folder)
    done, seconds = loop.resume()
    begin = time.monotonic() - seconds
    for step, indices in _batches(data, settings, done):
        batch = data.batch(indices).to(fabric.device)
        for group in optimizer.param_groups:
            group["lr"] = group["pace"] * settings.rate(step)
        with fabric.autocast():  # which Fabric itself opens around ``forward`` alone
            losses = wrapped.loss(batch, stream(settings.seed, step))
        fabric.backward(losses["loss"])
        fabric.clip_gradients(wrapped, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
        if _finite(model):
            optimizer.step()
        else:
            log.warning("step %d: the gradient is not finite; the step is left out", step)
        optimizer.zero_grad()
        loop.average_weights(step)
        values = {name: float(value.detach()) for name, value in losses.items()}
        if progress:
            progress(step + 1, settings.steps, values)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            elapsed = time.monotonic() - begin
            held_out = evaluate(average, validation, settings) if validation is not None else {}
            loop.record(step + 1, elapsed, values, held_out)
            loop.save(step + 1, elapsed)
    return average


@torch.no_grad()
def evaluate(model: nn.Module, data: TrainingSet, settings: Training) -> dict[str, float]:
    """Mean losses over a data set, with the same noise at every call."""
    sums: dict[str, float] = {}
    learner = cast("Learner", model)
    batches = list(data.epoch(settings.atoms, np.random.default_rng(0)))
    for i, indices in enumerate(batches):
        for name, value in learner.loss(data.batch(indices), stream(0, i)).items():
            sums[name] = sums.get(name, 0.0) + float(value) / len(batches)
    return sums


def losses_recorded(folder: str | Path) -> dict[str, float]:
    """The last line of a training's metrics; empty where nothing was recorded."""
    path = Path(folder) / METRICS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(json.loads(lines[-1])) if lines else {}


def stream(seed: int, step: int) -> torch.Generator:
    """The random stream of one step."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1))


class Loop:
    """What lives across steps: averaged weights, the metrics file and the checkpoint."""

    def __init__(
        self,
        settings: Training,
        model: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        folder: Path,
    ) -> None:
        self.settings, self.model, self.average = settings, model, average
        self.optimizer, self.folder = optimizer, folder
        # More or fewer steps continue the same training; anything else would be another one.
        fixed = {**asdict(settings), "steps": None, "save_every": None}
        for name in ("optimizer", "betas"):  # checkpoints from before there was a choice go on
            if getattr(settings, name) == getattr(Training, name):
                del fixed[name]
        self.identity = content_id(fixed, getattr(model, "config", None), _shapes(model))

    @torch.no_grad()
    def average_weights(self, step: int) -> None:
        """Exponential moving average with a decay that starts low, so that early averages are not stale."""
        decay = min(self.settings.ema, (1 + step) / (10 + step))
        for kept, current in zip(self.average.parameters(), self.model.parameters(), strict=True):
            kept.lerp_(current, 1 - decay)
        for held, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            held.copy_(now)  # such as the vectors of a spectral norm, which follow the weights

    def record(self, step: int, seconds: float, losses: dict[str, float], held_out: dict[str, float]) -> None:
        """Append one line of metrics."""
        line = {"step": step, "seconds": round(seconds, 1), "lr": self.settings.rate(step - 1), **losses}
        line |= {f"validation_{name}": value for name, value in held_out.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info(" ".join(f"{name}={value:.4g}" for name, value in line.items()))

    def save(self, step: int, seconds: float) -> None:
        """Write weights, averaged weights, optimizer moments and position as one whole file."""
        from safetensors.torch import save_file

        tensors = {f"model/{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in moments.items()}
        facts = {"step": step, "seconds": seconds, "identity": self.identity}
        with whole_file(self.folder / CHECKPOINT) as temporary:
            plain = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
            save_file(plain, temporary, metadata={"state": json.dumps(facts)})

    def resume(self) -> tuple[int, float]:
        """Load the checkpoint if there is one; returns the next step and the seconds already spent."""
        from safetensors import safe_open
        from safetensors.torch import load_file

        path = self.folder / CHECKPOINT
        if not path.exists():
            return 0, 0.0
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["state"])
        if facts["identity"] != self.identity:
            raise ConfigError(
                "the checkpoint belongs to other settings or another model.",
                where=str(path),
                fix="Give another folder, or remove the checkpoint.",
            )
        tensors = load_file(path)
        self.model.load_state_dict(_part(tensors, "model/"))
        self.average.load_state_dict(_part(tensors, "average/"))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        return int(facts["step"]), float(facts["seconds"])


def _batches(data: TrainingSet, settings: Training, start: int) -> Iterator[tuple[int, Tensor]]:
    """Numbered batches from step ``start`` on; epoch e is shuffled by (seed, e)."""
    step, epoch = 0, 0
    while step < settings.steps:
        for indices in data.epoch(settings.atoms, np.random.default_rng([settings.seed, epoch])):
            if start <= step < settings.steps:
                yield step, indices
            step += 1
        epoch += 1


def _optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    groups = _groups(model, settings)
    match settings.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=False)
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, fused=False)
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
        case "adagrad":
            return torch.optim.Adagrad(groups, lr=settings.lr)
    known = ("adamw", "adam", "sgd", "adagrad")
    raise ConfigError(
        f"no optimizer {settings.optimizer!r}.", where="optimizer", fix=did_you_mean(settings.optimizer, known)
    )


def _groups(model: nn.Module, settings: Training) -> list[dict[str, Any]]:
    """Parameters by pace, and by whether they decay: matrices only."""
    paces: dict[str, float] = getattr(model, "paces", {})
    own: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        own.setdefault(paces.get(name.partition(".")[0], 1.0), []).append(parameter)
    groups: list[dict[str, Any]] = []
    for pace, parameters in own.items():
        matrices, others = ([p for p in parameters if (p.ndim >= 2) == large] for large in (True, False))
        groups.append({"params": matrices, "pace": pace, "weight_decay": settings.weight_decay})
        groups.append({"params": others, "pace": pace, "weight_decay": 0.0})
    return groups


def _copy(model: Model) -> Model:
    from copy import deepcopy

    return deepcopy(model).requires_grad_(False).eval()


def _finite(model: nn.Module) -> bool:
    return all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def _shapes(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(p.shape) for name, p in model.named_parameters()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
