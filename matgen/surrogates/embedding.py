"""Surrogates on what a pretrained network knows of a structure: an embedding, and a head that learns from few labels.

Shapes: S structures, F embedding size.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pymatgen.core import Structure

from matgen.errors import ConfigError, DataError
from matgen.features.composition import FEATURE_NAMES, composition_features
from matgen.runtime import content_id
from matgen.surrogates.base import SURROGATES, Prediction
from matgen.surrogates.boosting import Boosting, BoostingConfig
from matgen.surrogates.process import Process, ProcessConfig
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.vector import Head, VectorConfig, VectorSurrogate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matgen.data.property import Property

HEADS: dict[str, tuple[type[Any], Callable[[Any], Head]]] = {
    "boosting": (BoostingConfig, Boosting),
    "process": (ProcessConfig, Process),
}
BATCH = 16
"""Structures embedded at once."""

REMEMBERED = 50_000
_MEMORY: OrderedDict[str, np.ndarray] = OrderedDict()
"""Embeddings of this process by content, since cross-validation asks for each structure many times."""


@dataclass(frozen=True)
class EmbeddingConfig(VectorConfig):
    """Settings of :class:`EmbeddingSurrogate`.

    Args:
        source: ``chgnet``, or name or folder of a trained generator that encodes crystals, such as ``vae-mp20``.
        composition: Whether element statistics join the embedding.
        head: What regresses on the vectors.
        settings: Of the head, by name.
    """

    source: str = "chgnet"
    composition: bool = True
    head: Literal["boosting", "process"] = "process"
    settings: dict[str, Any] = field(default_factory=dict)


@SURROGATES.register("embedding")
class EmbeddingSurrogate(VectorSurrogate):
    """A Gaussian process or boosted trees on the embedding of CHGNet or of a trained generator.

    A structure that the network must not be asked about (an element that it has not learned, overlapping atoms) gets a
    vector of zeros for the embedding and counts as outside the domain.

    Args:
        prop: What is predicted.
        config: Settings by name; an unknown name is refused.
    """

    name = "embedding"
    reads = "structures"
    config_class = EmbeddingConfig
    config: EmbeddingConfig

    def __init__(self, prop: Property, **config: Any) -> None:
        super().__init__(prop, **config)
        settings, head = HEADS[self.config.head]
        checked = checked_settings(settings, self.config.settings, self.config.head)
        self._head = lambda: head(checked)

    def head(self) -> Head:
        """A fresh head of the configured kind."""
        return self._head()

    def vectors(self, structures: Sequence[Any]) -> np.ndarray:
        """The embedding, then element statistics if they join.

        Raises:
            DataError: A composition without a structure.
        """
        for structure in structures:
            if not isinstance(structure, Structure):
                raise DataError("this model needs structures, not only compositions.", where=structure.formula)
        blocks = [embeddings(structures, self.config.source)]
        if self.config.composition:
            blocks.append(composition_features(structures))
        return np.hstack(blocks)

    def feature_names(self) -> list[str]:
        """Numbered components of the embedding, and names of the statistics."""
        joined = list(FEATURE_NAMES) if self.config.composition else []
        size = self._fitted().domain.references.shape[1] - len(joined)
        return [f"{self.config.source} {i}" for i in range(size)] + joined

    def predict_vectors(self, vectors: np.ndarray, structures: Sequence[Any]) -> Prediction:
        """See :class:`VectorSurrogate`; what has no embedding is outside the domain."""
        found = super().predict_vectors(vectors, structures)
        size = vectors.shape[1] - len(FEATURE_NAMES) * self.config.composition
        return replace(found, in_domain=found.in_domain & vectors[:, :size].any(axis=1))


def embeddings(structures: Sequence[Structure], source: str) -> np.ndarray:
    """Embeddings (S, F) of structures; a row of zeros where the network must not be asked.

    Raises:
        ConfigError: There is no such source, or it does not encode crystals.
    """
    encode, refused = _encoder(source)
    keys = [content_id(source, s.atomic_numbers, s.frac_coords.tolist(), s.lattice.matrix.tolist()) for s in structures]
    new = {key: s for key, s in zip(keys, structures, strict=True) if key not in _MEMORY}
    sound = {key: s for (key, s), reason in zip(new.items(), refused(list(new.values())), strict=True) if not reason}
    order = sorted(sound, key=lambda key: len(sound[key]))  # cells of like size together
    for first in range(0, len(order), BATCH):
        some = order[first : first + BATCH]
        _MEMORY.update(zip(some, encode([sound[key] for key in some]), strict=True))
    size = next((len(_MEMORY[key]) for key in keys if key in _MEMORY), 1)
    rows = [_MEMORY.get(key, np.zeros(size)) for key in keys]
    while len(_MEMORY) > REMEMBERED:
        _MEMORY.popitem(last=False)
    return np.array(rows).reshape(len(structures), -1) if rows else np.zeros((0, size))


def _encoder(
    source: str,
) -> tuple[Callable[[list[Structure]], np.ndarray], Callable[[list[Structure]], list[str | None]]]:
    """What turns structures into (S, F), and what says why a structure may not be turned."""
    from matgen.data.structures import to_batch
    from matgen.stability.gate import Gate
    from matgen.stability.potential import POTENTIALS, load_potential

    if source in POTENTIALS:
        potential = load_potential(source)
        gate = Gate(potential.elements, reach=potential.cutoff)
        return lambda structures: potential.embeddings(to_batch(structures)), gate.reasons
    from matgen.generators.base import load_generator

    model: Any = load_generator(source)
    if not hasattr(model, "encode"):
        raise ConfigError(f"the generator {source!r} does not encode crystals.", where="source", fix="Use a 'vae'.")
    gate = Gate(frozenset(range(1, 119)), reach=8.0)
    return lambda structures: model.encode(to_batch(structures)).double().numpy(), gate.reasons
