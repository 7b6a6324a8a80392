"""What all deep ensembles share: members, uncertainty, domain, saving.

The mean is the mean over members. Three signals feed the standard deviation: the spread of the members
(Lakshminarayanan et al., NeurIPS 2017), their own estimate of the error's width, and the distance to the training data;
:class:`ErrorModel` weighs and calibrates them on held-out rows.

Shapes: S structures, K members, F embedding size.
"""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from matgen.errors import ConfigError, DataError
from matgen.surrogates.base import Prediction, Surrogate
from matgen.surrogates.conformal import ErrorModel, Judged
from matgen.surrogates.domain import Domain, known_elements
from matgen.surrogates.members import Schedule, Task, train_member
from matgen.surrogates.regions import CLOSED, METALLIC, regions
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.storage import load_surrogate, read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Composition, Structure
    from torch import Tensor

    from matgen.data.property import Property

logger = logging.getLogger(__name__)
LEAST_ROWS = 40
"""Fewer rows cannot be split into a training and a held-out part that says anything."""

AT_BOUND = 0.01
"""Answers so near to the lower bound of a property, in spreads of its values, count as at the bound."""


@dataclass(frozen=True)
class EnsembleConfig:
    """Settings that every deep ensemble has.

    Args:
        members: K.
        epochs: Passes over the data for the first member.
        restart_epochs: Passes for each later one, which starts from its predecessor at half the rate (a snapshot
            ensemble: Huang et al., ICLR 2017); 0 trains each by itself for ``epochs``.
        batch: Structures in a batch.
        rate: Peak learning rate.
        decay: AdamW weight decay.
        start: A surrogate of the same kind whose members' weights are the starting point (transfer learning); members
            that are trained by themselves begin from them in turn, each with an order and noise of its own.
        held_out: Share of the rows kept aside for calibration.
        device: torch device for training.
    """

    members: int = 3
    epochs: int = 40
    restart_epochs: int = 0
    batch: int = 64
    rate: float = 2e-3
    decay: float = 1e-2
    start: str | None = None
    held_out: float = 0.1
    device: str = "cpu"


class DeepEnsemble(Surrogate):
    """An ensemble of networks with calibrated uncertainty.

    Subclasses set ``name`` and ``config_class`` and say what a network is and how materials become its input.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[EnsembleConfig]] = EnsembleConfig

    def __init__(self, prop: Property, **config: Any) -> None:
        self.prop = prop
        self.config = checked_settings(self.config_class, config, self.name)
        self.networks: list[nn.Module] = []
        self.offset, self.scale = 0.0, 1.0
        self.errors: ErrorModel | None = None
        self.domain: Domain | None = None
        self.card: dict[str, Any] = {}

    @abstractmethod
    def network(self) -> nn.Module:
        """A fresh network that maps a batch to scaled mean (S,), log width (S,) and embedding (S, F)."""

    @abstractmethod
    def items(self, structures: Sequence[Structure]) -> Sequence[Any]:
        """Prepared inputs, one a structure."""

    @abstractmethod
    def collate(self, items: Sequence[Any], noise: torch.Generator | None) -> Any:
        """A batch; with ``noise``, perturbed as training data are."""

    def compositions(self, structures: Sequence[Any]) -> Sequence[Structure | Composition]:
        """What says which elements each material has; materials that are neither structures nor compositions differ."""
        return structures

    def regions(self, structures: Sequence[Any]) -> np.ndarray | None:
        """(S,) regions of chemistry in which intervals are calibrated; None where there are none."""
        return regions(structures)

    def regions_of(self, structures: Sequence[Any], mean: np.ndarray) -> np.ndarray | None:
        """(S,) the same once the answers (S,) are known.

        Most intermetallics lie at the lower bound of a property such as the gap, and so do answers for them. Where an
        answer does not, shells are taken as closed, and the small errors of the others say nothing.
        """
        names = self.regions(structures)
        if names is None or not np.isfinite(self.prop.lower):
            return names
        off = (mean > self.prop.lower + AT_BOUND * self.scale) & np.isin(names, METALLIC)
        return np.where(off, CLOSED, names)

    def prepare(self, network: nn.Module, items: Sequence[Any]) -> None:
        """Let a fresh network take its input scales from the training items."""

    def fit(
        self,
        structures: Sequence[Structure],
        values: np.ndarray,
        *,
        rng: np.random.Generator,
        folder: Path | None = None,
    ) -> None:
        """Learn, calibrate on held-out rows, and remember what the training data looked like.

        Args:
            structures: S structures.
            values: (S,) in the property's unit, all finite.
            rng: Splits, initial weights and noise.
            folder: Where unfinished training is kept, so that the same call goes on after an interruption.
        """
        values = checked_values(values, len(structures))
        seed = int(rng.integers(2**40))
        held, rest = self._parted(len(values), seed)
        self.offset, self.scale = _centre_and_spread(values[rest])
        items = self.items(structures)
        scaled = torch.from_numpy((values - self.offset) / self.scale).float()
        task = Task([items[i] for i in rest], scaled[rest], self.collate)
        self.networks = self._train(task, seed, folder)
        known = known_elements(self.compositions([structures[i] for i in rest]))
        mean, signals = self._held(task, [items[i] for i in held], known, seed)
        judged = Judged(signals, self._wrong(mean, values[held]), self.regions_of([structures[i] for i in held], mean))
        self.errors = ErrorModel.fit(judged, 1e-3 * self.scale)

    def predict(self, structures: Sequence[Structure]) -> Prediction:
        """Mean, standard deviation (mean ± 1.645 std holds 90 % of held-out rows) and domain."""
        if self.errors is None or self.domain is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        mean, signals, distance = self._signals(self.items(structures), self.domain)
        mean = np.clip(mean, self.prop.lower, self.prop.upper)
        std = self.errors.std(signals, self.regions_of(structures, mean))
        inside = self.domain.contains(distance, self.compositions(structures))
        return Prediction(mean, std, inside, distance / (self.domain.threshold or 1.0))

    def judge(self, structures: Sequence[Structure], values: np.ndarray) -> Judged:
        """Signals of uncertainty and errors on structures that were not learned from."""
        if self.domain is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        mean, signals, _ = self._signals(self.items(structures), self.domain)
        return Judged(signals, self._wrong(mean, values), self.regions_of(structures, mean))

    def held_out(self, values: np.ndarray) -> np.ndarray:
        """(H,) rows that a loaded model's training kept aside for calibration, where (S,) values are all it was given.

        Raises:
            DataError: These are not the values, or not in the order, that the model was trained with.
        """
        rows, seed = self.card["rows"], int(np.random.default_rng(self.card["seed"]).integers(2**40))
        if len(values) == rows:
            held, rest = self._parted(rows, seed)
            # Both numbers are of the rest alone, so they tell another order of the same rows too.
            if np.allclose(_centre_and_spread(values[rest]), (self.offset, self.scale), rtol=0, atol=1e-6 * self.scale):
                return held
        raise DataError(
            f"these {len(values)} rows are not the {rows} that the model was trained with.",
            fix="Give the data of its training in the same order, with the same rows left out; or rows new to it.",
        )

    def spread(self, structures: Sequence[Structure]) -> np.ndarray | None:
        """(S,) standard deviation over the members, before calibration; None for a single member."""
        if self.domain is None or len(self.networks) < 2:
            return None
        return self._signals(self.items(structures), self.domain)[1][:, 0]

    def save(self, folder: Path, **facts: Any) -> None:
        """Write ``weights.safetensors`` and ``card.json``; ``facts`` (data, metrics, licence ...) join the card."""
        if self.errors is None or self.domain is None:
            raise ConfigError(f"{self.name} is not fitted yet.")
        tensors = {
            f"member{m}.{key}": tensor.half()
            for m, network in enumerate(self.networks)
            for key, tensor in network.state_dict().items()
        }
        tensors |= {key: torch.from_numpy(array) for key, array in self.domain.arrays().items()}
        state = {"offset": self.offset, "scale": self.scale, "errors": asdict(self.errors)}
        card = {"surrogate": self.name, "property": self.prop.name, "unit": self.prop.unit}
        self.card = write_weights(folder, tensors, {**card, **facts, "config": asdict(self.config), **state})

    @classmethod
    def load(cls, folder: Path) -> DeepEnsemble:
        """Rebuild from what :meth:`save` wrote."""
        card, tensors, prop = read_weights(folder, cls.name)
        model = cls(prop, **card["config"])
        model.card, model.offset, model.scale = card, card["offset"], card["scale"]
        model.errors = ErrorModel.of(card["errors"])
        model.domain = Domain.of({key: tensors[key].numpy() for key in tensors if key.startswith("domain.")})
        for m in range(model.config.members):
            prefix = f"member{m}."
            state = {k.removeprefix(prefix): t.float() for k, t in tensors.items() if k.startswith(prefix)}
            model.networks.append(_filled(model.network(), state, folder))
        return model

    def _parted(self, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows kept aside and rows learned from, both in random order."""
        order = np.random.default_rng(seed).permutation(rows)
        held, rest = np.split(order, [max(LEAST_ROWS // 2, round(self.config.held_out * rows))])
        return held, rest

    def _wrong(self, mean: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(values - np.clip(mean, self.prop.lower, self.prop.upper)))

    def _train(self, task: Task, seed: int, folder: Path | None) -> list[nn.Module]:
        config = self.config
        networks: list[nn.Module] = []
        start = self._start()
        schedule = Schedule(config.epochs, config.batch, config.rate, config.decay, device=config.device)
        for m in range(config.members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + m)
                network = self.network()
            self.prepare(network, task.items)
            if start and (m < len(start) or not config.restart_epochs):
                network.load_state_dict(start[m % len(start)].state_dict())
            elif m and config.restart_epochs:
                network = copy.deepcopy(networks[-1])
                schedule = replace(schedule, epochs=config.restart_epochs, rate=config.rate / 2)
            logger.info("%s of %s: member %d of %d", self.name, self.prop.name, m + 1, config.members)
            checkpoint = folder / f"member{m}.pt" if folder else None
            train_member(network, task, schedule, seed + 1000 * (m + 1), checkpoint)
            networks.append(_rounded(network))
        return networks

    def _start(self) -> list[nn.Module]:
        if self.config.start is None:
            return []
        model = load_surrogate(self.config.start)
        if not isinstance(model, type(self)):
            raise ConfigError(f"{self.config.start!r} is no {self.name}.", where="start")
        return model.networks

    def _held(self, task: Task, held: Sequence[Any], known: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and signals of held-out items, once the domain is known."""
        rng = np.random.default_rng(seed)
        some = [task.items[i] for i in rng.permutation(len(task.items))[:3000]]
        self.domain = Domain.fit(self._outputs(some)[2], self._outputs(held)[2], known)
        return self._signals(held, self.domain)[:2]

    def _signals(self, items: Sequence[Any], domain: Domain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (S,) and signals (S, 3) in the property's unit, and distance (S,) to the training data."""
        return self._combined(*self._outputs(items), domain)

    def _combined(
        self, means: np.ndarray, widths: np.ndarray, embeddings: np.ndarray, domain: Domain
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same from outputs of the members: scaled means (K, S), widths (K, S), embeddings (S, F)."""
        distance = domain.distance(embeddings)
        spread = means.std(axis=0) if len(self.networks) > 1 else np.ones(len(distance))
        nearness = distance / domain.threshold if domain.threshold > 0 else np.ones(len(distance))
        signals = self.scale * np.stack([spread, widths.mean(axis=0), nearness], axis=1)
        return self.offset + self.scale * means.mean(axis=0), signals, distance

    @torch.no_grad()
    def _outputs(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scaled means (K, S), widths (K, S), and embeddings (S, F) of the first member."""
        means, widths, embeddings = [], [], []
        for first in range(0, len(items), 2 * self.config.batch):
            batch = self.collate(items[first : first + 2 * self.config.batch], None)
            out = [network(batch) for network in self.networks]
            means.append(torch.stack([mean for mean, _, _ in out]).double())
            widths.append(torch.stack([log.exp() for _, log, _ in out]).double())
            embeddings.append(out[0][2])
        if not means:
            return np.zeros((len(self.networks), 0)), np.zeros((len(self.networks), 0)), np.zeros((0, 1))
        return torch.cat(means, 1).numpy(), torch.cat(widths, 1).numpy(), torch.cat(embeddings).numpy()


def _centre_and_spread(values: np.ndarray) -> tuple[float, float]:
    return float(np.median(values)), float(values.std() or 1.0)


def checked_values(values: np.ndarray, n: int) -> np.ndarray:
    """Values as float64, one for each structure.

    Raises:
        DataError: Another number of values, missing values, or too few rows.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != (n,):
        raise DataError(f"{n} structures but values of shape {values.shape}.")
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values)).sum())} of {n} values are missing.", fix="Leave those rows out.")
    if n < LEAST_ROWS:
        raise DataError(f"{n} rows are too few to fit and calibrate.", fix=f"Give at least {LEAST_ROWS}.")
    return values


def _rounded(network: nn.Module) -> nn.Module:
    # Weights are kept in half precision; calibrating the rounded ones makes a loaded model equal the fitted one.
    network.load_state_dict({key: tensor.half().float() for key, tensor in network.state_dict().items()})
    return network.eval()


def _filled(network: nn.Module, state: dict[str, Tensor], folder: Path) -> nn.Module:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"the weights do not fit the card: {error}", where=str(folder)) from error
    return network.eval().requires_grad_(False)  # guidance asks for gradients in positions, never in weights
