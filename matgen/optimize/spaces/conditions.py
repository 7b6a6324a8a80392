"""Conditions of a generator: what is asked of it, and how it samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.data.request import Request
from matgen.errors import ConfigError
from matgen.optimize.spaces.base import SPACES, Proposal, Space
from matgen.optimize.spaces.realisation import loaded, one_for_each

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row


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

        asked = [name for name in ("formula", "chemical_system", "n_atoms", "space_group") if getattr(self, name)]
        if not asked and not self.target and not self.options_range:
            raise ConfigError("nothing is varied.", where="space.conditions", fix="Name a target or an option's range.")
        first = {name: getattr(self, name)[0] for name in asked}
        request = Request(**first, target={name: low for name, (low, _) in self.target.items()})
        request.require_honoured_by(loaded(self.model, json.dumps(self.config, sort_keys=True)).conditions, self.model)

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The suggested conditions; only the finished structure tells whether it is new."""
        item: Row = {"seed": trial.number, "request": {}, "options": dict(self.fixed)}
        for name in ("formula", "chemical_system", "n_atoms", "space_group"):
            if choices := getattr(self, name):
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
