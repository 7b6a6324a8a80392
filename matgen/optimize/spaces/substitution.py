"""Elements on the sites of one prototype.

Shapes: S slots, one for each element of the prototype.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from pymatgen.core import Element

from matgen.constraints.charge_neutrality import ChargeNeutral
from matgen.data.candidates import Candidates
from matgen.data.structures import read_structures
from matgen.errors import ConfigError
from matgen.features.composition import element_table
from matgen.features.volumes import elemental_volumes
from matgen.generators.templates import Template
from matgen.optimize.spaces.base import SPACES, Option, Proposal, Space
from matgen.runtime import file_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna
    from pymatgen.core import Structure

    from matgen.execution import Executor, Row


@SPACES.register("substitution")
@dataclass
class Substitution(Space):
    """Replaces the elements of a prototype; the cell is scaled by the elements' volumes.

    Charge neutrality (with the electronegativity order) and the demand that different slots hold different elements are
    Optuna constraints; what breaks one is not evaluated.

    Args:
        prototype: A structure file.
        elements: Symbols allowed in place of each element of the prototype, by its symbol; an element that is not named
            stays.
        neutral: Whether charge neutrality is demanded.
    """

    name: ClassVar[str] = "substitution"

    prototype: str
    elements: dict[str, list[str]]
    neutral: bool = True

    def check(self) -> None:
        """Refuse a missing prototype, and elements that it does not hold or that do not exist."""
        where = "space.substitution"
        if not Path(self.prototype).is_file():
            raise ConfigError("no such structure file.", where=f"{where}.prototype", fix="Check the path.")
        for slot, symbols in self.elements.items():
            if slot not in self.slots:
                fix = f"It holds {', '.join(self.slots)}."
                raise ConfigError(f"the prototype holds no {slot}.", where=f"{where}.elements", fix=fix)
            if bad := next((s for s in symbols if not Element.is_valid_symbol(s)), None):
                raise ConfigError(f"{bad!r} is no element.", where=f"{where}.elements.{slot}")

    def identity(self) -> str:
        """Hash of the prototype's file."""
        return file_id(Path(self.prototype))

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The prototype with the suggested elements."""
        chosen = [
            str(trial.suggest_categorical(slot, self.elements[slot])) if slot in self.elements else slot
            for slot in self.slots
        ]
        return Proposal({"elements": chosen}, "-".join(chosen), self.violations(chosen))

    def violations(self, chosen: Sequence[str]) -> dict[str, float]:
        """Optuna's constraints on elements for the slots."""
        found = {"distinct elements": float(len(chosen) - len(set(chosen)))}
        if self.neutral:
            amounts: dict[str, float] = {}
            for symbol, count in zip(chosen, self.template.counts.tolist(), strict=True):
                amounts[symbol] = amounts.get(symbol, 0) + count
            charge, reason = self._neutrality.judge(amounts)
            found["charge neutrality"] = 0.0 if reason is None else min(max(charge, 1.0), 10.0)
        return found

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """The prototypes with their new elements and volumes."""
        structures = [self._filled(item["elements"]) for item in items]
        formulas = [s.composition.reduced_formula for s in structures]
        return Candidates(pd.DataFrame({"id": list(ids), "formula": formulas}), structures)

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, S P) element properties of every slot."""
        numbers = np.array([[Element(s).Z for s in item["elements"]] for item in items])
        return element_table()[numbers].reshape(len(items), -1)

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Feasible combinations that are not taken."""
        found = []
        for chosen in product(*(self.elements.get(slot, [slot]) for slot in self.slots)):
            if "-".join(chosen) not in taken and max(self.violations(chosen).values()) <= 0:
                params = {slot: s for slot, s in zip(self.slots, chosen, strict=True) if slot in self.elements}
                found.append(Option(params, {"elements": list(chosen)}))
        if len(found) <= n:
            return found
        return [found[i] for i in rng.choice(len(found), n, replace=False)]

    def grid(self) -> dict[str, list[Any]]:
        """All elements of each slot."""
        return {slot: list(symbols) for slot, symbols in self.elements.items()}

    @cached_property
    def template(self) -> Template:
        """The prototype as slots."""
        return Template.of(read_structures(self.prototype)[1][0])

    @cached_property
    def slots(self) -> list[str]:
        """Element that each slot has in the prototype."""
        return [Element.from_Z(int(z)).symbol for z in self.template.elements]

    @cached_property
    def _neutrality(self) -> ChargeNeutral:
        return ChargeNeutral()

    def _filled(self, symbols: Sequence[str]) -> Structure:
        return self.template.fill(np.array([Element(s).Z for s in symbols]), elemental_volumes())
