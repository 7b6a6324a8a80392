"""Conditions of a generator: what is asked of it, and how it samples.

Shapes: n points, D numbers that describe one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from matgen.data.request import Request
from matgen.errors import ConfigError
from matgen.features.composition import composition_features
from matgen.optimize.spaces.base import SPACES, Option, Proposal, Space
from matgen.optimize.spaces.realisation import loaded, one_for_each

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row


_OFFERED = 2000
"""Random conditions among which a model chooses."""


@SPACES.register("conditions")
@dataclass
class Conditions(Space):
    """What a generator is asked for, and settings of its sampling such as temperature or guidance.

    The generator is random, so the same conditions give new structures; the number of the trial is the seed. Structures
    that match an earlier one are not evaluated again.

    Args:
        model: A shipped model, a generator, or a folder.
        config: Settings of a generator that is named without weights.
        target: Range of wanted values, by property: ``{band_gap: [1.0, 3.0]}``.
        formula: Formulas to choose from.
        chemical_system: Chemical systems to choose from.
        n_atoms: Numbers of atoms to choose from.
        space_group: Space groups to choose from.
        options_range: Range of sampling options: ``{annealing: [0.0, 8.0]}``.
        fixed: Sampling options that stay.
    """

    name: ClassVar[str] = "conditions"

    model: str = "flow-mp20"
    config: dict[str, Any] = field(default_factory=dict)
    target: dict[str, tuple[float, float]] = field(default_factory=dict)
    formula: list[str] = field(default_factory=list)
    chemical_system: list[str] = field(default_factory=list)
    n_atoms: list[int] = field(default_factory=list)
    space_group: list[int] = field(default_factory=list)
    options_range: dict[str, tuple[float, float]] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse conditions that the generator does not honour."""
        import json

        asked = list(self._choices)
        if not asked and not self.target and not self.options_range:
            raise ConfigError("nothing is varied.", where="space.conditions", fix="Name a target or an option's range.")
        first = {name: getattr(self, name)[0] for name in asked}
        request = Request(**first, target={name: low for name, (low, _) in self.target.items()})
        request.require_honoured_by(loaded(self.model, json.dumps(self.config, sort_keys=True)).conditions, self.model)

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The suggested conditions; only the finished structure tells whether it is new."""
        item: Row = {"seed": trial.number, "request": {}, "options": dict(self.fixed)}
        for name, choices in self._choices.items():
            item["request"][name] = trial.suggest_categorical(name, choices)
        target = {name: trial.suggest_float(f"target {name}", *ends) for name, ends in self.target.items()}
        item["request"]["target"] = target
        for name, ends in self.options_range.items():
            item["options"][name] = trial.suggest_float(name, *ends)
        return Proposal(item, None)

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """One sample for each point."""
        return one_for_each(
            self.model,
            [Request(**item["request"]) for item in items],
            ids,
            self.config,
            executor,
            seeds=[item["seed"] for item in items],
            options=[item["options"] for item in items],
        )

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, D) ranges from 0 to 1, and for formulas and chemical systems their composition statistics.

        Numbers of atoms are numbers; every space group is a column of its own.
        """
        columns = [self._chosen(name, [item["request"][name] for item in items]) for name in self._choices]
        for name, (low, high) in self.target.items():
            columns.append(_scaled([item["request"]["target"][name] for item in items], low, high))
        for name, (low, high) in self.options_range.items():
            columns.append(_scaled([item["options"][name] for item in items], low, high))
        return np.concatenate(columns, axis=1)

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Random conditions; the generator is random too, so none are ever used up."""
        found = []
        for _ in range(min(n, _OFFERED)):
            request: Row = {name: choices[int(rng.integers(len(choices)))] for name, choices in self._choices.items()}
            target = {name: float(rng.uniform(*ends)) for name, ends in self.target.items()}
            options = {name: float(rng.uniform(*ends)) for name, ends in self.options_range.items()}
            params = {**request, **{f"target {name}": value for name, value in target.items()}, **options}
            found.append(Option(params, {"request": {**request, "target": target}, "options": options}))
        return found

    @property
    def _choices(self) -> dict[str, list[Any]]:
        names = ("formula", "chemical_system", "n_atoms", "space_group")
        return {name: choices for name in names if (choices := getattr(self, name))}

    def _chosen(self, name: str, values: Sequence[Any]) -> np.ndarray:
        if name == "n_atoms":
            return np.array(values, dtype=float)[:, None]
        if name == "space_group":
            return np.array(values)[:, None] == np.array(self.space_group)[None]
        return composition_features([str(value).replace("-", "") for value in values])


def _scaled(values: Sequence[float], low: float, high: float) -> np.ndarray:
    return ((np.array(values, dtype=float) - low) / ((high - low) or 1.0))[:, None]
