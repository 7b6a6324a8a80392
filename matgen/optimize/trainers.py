"""What a tuning trains: a surrogate or a generator by its recipe, with some settings changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.errors import DataError
from matgen.training import losses_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pymatgen.core import Structure


@dataclass
class SurrogateTrainer:
    """Cross-validated mean absolute error of a surrogate; the mean over the folds so far is reported after each.

    Args:
        data: Data sets or structure files with the property.
        prop: Property.
        surrogate: Name in the registry.
        settings: Of the surrogate; a tuned ``settings.x`` takes the place of ``x``.
        column: Column of the property, where it is called otherwise.
        folds: Parts; each is predicted once by a model trained on the others.
        seed: Of the parts and the trainings.
    """

    data: Sequence[str | Path]
    prop: str
    surrogate: str
    settings: Mapping[str, Any]
    column: str | None = None
    folds: int = 3
    seed: int = 0

    def __call__(self, tuned: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """The score of tuned settings."""
        from matgen.data.property import find_property
        from matgen.surrogates.base import SURROGATES

        structures, values = self._table
        chosen = {**self.settings, **{key.removeprefix("settings."): value for key, value in tuned.items()}}
        parts = np.array_split(np.random.default_rng(self.seed).permutation(len(values)), self.folds)
        errors: list[float] = []
        for fold, held in enumerate(parts):
            rest = np.concatenate([part for k, part in enumerate(parts) if k != fold])
            model = SURROGATES.get(self.surrogate)(find_property(self.prop), **chosen)
            model.fit([structures[i] for i in rest], values[rest], rng=np.random.default_rng([self.seed, fold]))
            predicted = model.predict([structures[i] for i in held]).mean
            errors.append(float(np.abs(predicted - values[held]).mean()))
            report(fold, float(np.mean(errors)))
        return float(np.mean(errors))

    @cached_property
    def _table(self) -> tuple[list[Structure], np.ndarray]:
        from matgen.surrogates.training import read_values

        structures, values, _ = read_values(self.data, self.column or self.prop)
        return structures, values


@dataclass
class GeneratorTrainer:
    """Validation loss of a generator, reported whenever the training evaluates it.

    Args:
        data: Data sets or structure files.
        generator: Name in the registry.
        config: Of the generator; a tuned ``config.x`` takes the place of ``x``.
        training: Settings of the loop; likewise ``training.x``.
        max_atoms: Larger cells are left out.
        validation: Share of the structures that is held out.
    """

    data: Sequence[str | Path]
    generator: str
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    max_atoms: int = 20
    validation: float = 0.1

    def __call__(self, tuned: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """The score of tuned settings."""
        from matgen.generators.training import train
        from matgen.training import Training

        settings = Training(**{**self.training, **_under("training.", tuned)})
        with tempfile.TemporaryDirectory() as folder:

            def progress(step: int, steps: int, losses: dict[str, float]) -> None:
                if step > 1 and (step - 1) % settings.save_every == 0:  # the last step was recorded after its call
                    report(step - 1, _score(folder))

            train(
                list(self.data),
                folder,
                generator=self.generator,
                config={**self.config, **_under("config.", tuned)},
                settings=settings,
                max_atoms=self.max_atoms,
                validation=self.validation,
                progress=progress,
            )
            return _score(folder)


def _under(prefix: str, tuned: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in tuned.items() if key.startswith(prefix)}


def _score(folder: str | Path) -> float:
    line = losses_recorded(folder)
    if "validation_loss" not in line:
        raise DataError("the training recorded no validation loss.", where=str(folder), fix="Hold out more structures.")
    return float(line["validation_loss"])
