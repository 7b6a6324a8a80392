"""What surrogates on fixed vectors share: a head that regresses on them, calibration out of sample, domain, saving.

Shapes: S materials, D vector size, K signals of uncertainty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from matgen.errors import ConfigError
from matgen.features.composition import fractions
from matgen.surrogates.base import Prediction, Surrogate
from matgen.surrogates.conformal import ErrorModel, Judged
from matgen.surrogates.domain import REFERENCES, Domain, known_elements
from matgen.surrogates.ensemble import LEAST_ROWS, checked_values
from matgen.surrogates.novelty import UNLIKE, Novelty, clusters
from matgen.surrogates.regions import regions
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.storage import read_weights, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pymatgen.core import Composition, Structure

    from matgen.data.property import Property

PARTS = 5
"""Into so many parts the rows are cut; what is said of a part comes from a head that learned from the others."""


@dataclass(frozen=True)
class VectorConfig:
    """What the settings of all surrogates on vectors share.

    Args:
        clusters: Into so many clusters of element fractions the rows are cut, and each is judged by a head that learned
            from the others, so that intervals hold of chemistry that was not learned from too. Fits take so many times
            longer; 0 leaves it out.
    """

    clusters: Annotated[int, Field(ge=0)] = field(default=0, kw_only=True)


class Head(ABC):
    """A regression on vectors that says how sure it is.

    Args:
        config: Its checked settings.
    """

    @abstractmethod
    def __init__(self, config: Any) -> None: ...

    @abstractmethod
    def fit(self, vectors: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Learn from (S, D) vectors and (S,) values.

        Returns:
            Mean (S,) and signals (S, K) of each row by a part of the head that has not learned from it; the mean is NaN
            where all of it has.
        """

    @abstractmethod
    def predict(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (S,), signals (S, K) that grow with the error, and the plain spread (S,), in the unit of the values."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """All that was learned, by name."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""


@dataclass(frozen=True)
class Calibrated:
    """All that a fit yields: the head, what the data looked like, the error model, and the spread of the values.

    ``novelty`` is None where regions of chemistry make no sense, and in models from before it was measured.
    """

    head: Head
    domain: Domain
    errors: ErrorModel
    scale: float
    novelty: Novelty | None


class VectorSurrogate(Surrogate):
    """A head on vectors of materials, calibrated on predictions of rows that it has not learned from.

    Subclasses set ``name``, ``config_class`` and say what the vectors and the head are.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[VectorConfig]]
    config: VectorConfig

    def __init__(self, prop: Property, **config: Any) -> None:
        self.prop, self.config = prop, checked_settings(self.config_class, config, self.name)
        self.fitted: Calibrated | None = None
        self.card: dict[str, Any] = {}

    @abstractmethod
    def vectors(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """Vectors (S, D), all finite."""

    @abstractmethod
    def head(self) -> Head:
        """A fresh head."""

    def near(self, vectors: np.ndarray) -> np.ndarray:
        """The columns (S, F) of vectors (S, D) by which nearness to the training data is judged; by default all."""
        return vectors

    def compositions(self, structures: Sequence[Any]) -> Sequence[Structure | Composition]:
        """What says which elements each material has; materials that are neither structures nor compositions differ."""
        return structures

    def regions(self, structures: Sequence[Any]) -> np.ndarray | None:
        """(S,) regions of chemistry in which intervals are calibrated; None where there are none."""
        return regions(structures)

    def feature_names(self) -> list[str]:
        """What the D numbers of a vector are called."""
        return [f"component {i}" for i in range(self._fitted().domain.references.shape[1])]

    def fit(
        self,
        structures: Sequence[Structure | Composition],
        values: np.ndarray,
        *,
        rng: np.random.Generator,
        folder: Path | None = None,
    ) -> None:
        """Learn, and calibrate out of sample; ``folder`` is not needed, a head is quick."""
        values = checked_values(values, len(structures))
        named = self.regions(structures)
        if named is None and self.config.clusters:
            raise ConfigError("molecules have no clusters of chemistry.", where="clusters", fix="Set it to 0.")
        vectors = self.vectors(structures)
        scale = float(values.std() or 1.0)
        head = self.head()
        mean, signals = head.fit(vectors, values, rng)
        order = rng.permutation(len(values))
        near = self.near(vectors)
        first, second = np.array_split(order, 2)
        domain = Domain.fit(near[first], near[second], known_elements(self.compositions(structures)))
        referred = np.isin(np.arange(len(values)), first[:REFERENCES])
        judging = order[np.isfinite(mean[order])]
        relative = domain.distance(near[judging], referred[judging]) / (domain.threshold or 1.0)
        signals = np.column_stack([signals[judging], relative * scale])
        wrong = np.abs(values - self._possible(mean))[judging]
        errors = ErrorModel.fit(Judged(signals, wrong, None if named is None else named[judging]), 1e-3 * scale)
        if named is None:
            self.fitted = Calibrated(head, domain, errors, scale, None)
            return
        novelty = Novelty.fit(*np.array_split(fractions(self.compositions(structures))[order], 2))
        self.fitted = Calibrated(head, domain, errors, scale, novelty)
        if self.config.clusters:
            self.errors = errors.beyond(self._left_out(structures, values, rng))

    def predict(self, structures: Sequence[Structure | Composition]) -> Prediction:
        """Mean, calibrated standard deviation and domain."""
        return self.predict_vectors(self.vectors(structures), structures)

    def predict_vectors(self, vectors: np.ndarray, structures: Sequence[Structure | Composition]) -> Prediction:
        """The same from vectors (S, D) that are at hand."""
        fitted = self._fitted()
        if not len(structures):
            return Prediction(np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0))
        mean, signals, distance = self._signals(vectors)
        compositions = self.compositions(structures)
        inside, relative = fitted.domain.contains(distance, compositions), distance / (fitted.domain.threshold or 1.0)
        if fitted.novelty is not None:
            new = fitted.novelty.relative(fractions(compositions))
            inside, relative = inside & (new <= 1), np.maximum(relative, new)
        return Prediction(self._possible(mean), fitted.errors.std(signals, self._named(structures)), inside, relative)

    def judge(self, structures: Sequence[Structure | Composition], values: np.ndarray) -> Judged:
        """Signals of uncertainty and errors on materials that were not learned from."""
        mean, signals, _ = self._signals(self.vectors(structures))
        return Judged(signals, np.abs(values - self._possible(mean)), self._named(structures))

    def spread(self, structures: Sequence[Structure | Composition]) -> np.ndarray:
        """(S,) the head's own standard deviation, before calibration."""
        return self._fitted().head.predict(self.vectors(structures))[2]

    def save(self, folder: Path, **facts: Any) -> None:
        """Write the arrays of head and domain, and ``card.json``; ``facts`` join the card."""
        fitted = self._fitted()
        arrays = {f"head.{key}": value for key, value in fitted.head.arrays().items()} | fitted.domain.arrays()
        if fitted.novelty is not None:
            arrays |= fitted.novelty.arrays()
        card = {"surrogate": self.name, "property": self.prop.name, "unit": self.prop.unit, **facts}
        card |= {"config": asdict(self.config), "scale": fitted.scale, "errors": asdict(fitted.errors)}
        self.card = write_weights(folder, {key: torch.from_numpy(value) for key, value in arrays.items()}, card)

    @classmethod
    def load(cls, folder: Path) -> VectorSurrogate:
        """Rebuild from what :meth:`save` wrote."""
        card, tensors, prop = read_weights(folder, cls.name)
        arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
        model = cls(prop, **card["config"])
        head = model.head()
        head.restore({key.removeprefix("head."): value for key, value in arrays.items() if key.startswith("head.")})
        model.card = card
        errors = ErrorModel.of(card["errors"])
        model.fitted = Calibrated(head, Domain.of(arrays), errors, card["scale"], Novelty.of(arrays))
        return model

    @property
    def errors(self) -> ErrorModel | None:
        """What turns signals of uncertainty into standard deviations."""
        return None if self.fitted is None else self.fitted.errors

    @errors.setter
    def errors(self, model: ErrorModel | None) -> None:
        if model is None:
            raise ConfigError(f"{self.name} cannot be without a model of its errors.")
        self.fitted = replace(self._fitted(), errors=model)

    def _signals(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (S,) and signals (S, K) in the property's unit, and distance (S,) to the training data."""
        fitted = self._fitted()
        mean, signals, _ = fitted.head.predict(vectors)
        distance = fitted.domain.distance(self.near(vectors))
        relative = distance / (fitted.domain.threshold or 1.0)
        return mean, np.column_stack([signals, relative * fitted.scale]), distance

    def _named(self, structures: Sequence[Any]) -> np.ndarray | None:
        """(S,) regions of chemistry, but that of what is unlike the training data where a material is."""
        names, novelty = self.regions(structures), self._fitted().novelty
        if names is None or novelty is None or not len(names):
            return names
        return np.where(novelty.relative(fractions(self.compositions(structures))) > 1, UNLIKE, names)

    def _left_out(
        self, structures: Sequence[Structure | Composition], values: np.ndarray, rng: np.random.Generator
    ) -> Judged:
        """What models of this kind say of clusters that they have not learned from, where it is unlike what they have.

        Leave one cluster out: Meredig et al., Mol. Syst. Des. Eng. 3, 819 (2018).
        """
        cluster = clusters(fractions(self.compositions(structures)), self.config.clusters, rng)
        signals, errors = [], []
        for label in np.unique(cluster):
            rest, out = np.flatnonzero(cluster != label).tolist(), np.flatnonzero(cluster == label).tolist()
            if len(rest) < LEAST_ROWS:
                continue
            model = type(self)(self.prop, **asdict(replace(self.config, clusters=0)))
            model.fit([structures[i] for i in rest], values[rest], rng=rng)
            judged = model.judge([structures[i] for i in out], values[out])
            far = judged.chosen(np.flatnonzero(judged.regions == UNLIKE))
            signals.append(far.signals)
            errors.append(far.errors)
        if not errors:
            raise ConfigError(
                f"{len(values)} rows are too few to leave clusters out.", where="clusters", fix="Set it to 0."
            )
        return Judged(np.concatenate(signals), np.concatenate(errors))

    def _possible(self, mean: np.ndarray) -> np.ndarray:
        return np.clip(mean, self.prop.lower, self.prop.upper)

    def _fitted(self) -> Calibrated:
        if self.fitted is None:
            raise ConfigError(f"{self.name} is not fitted yet.", fix="Call fit, or load a trained model.")
        return self.fitted


def parts(rows: int, rng: np.random.Generator) -> np.ndarray:
    """(S,) number of the part that each row belongs to, at random and as even as can be."""
    return np.asarray(rng.permutation(rows) % PARTS)
