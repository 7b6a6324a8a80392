"""Compositions on an element simplex, realised on known structure types.

Shapes: E elements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from pymatgen.core import Composition, Element

from matgen.constraints.charge_neutrality import ChargeNeutral
from matgen.data.request import Request
from matgen.errors import ConfigError
from matgen.features.composition import composition_features
from matgen.optimize.spaces.base import SPACES, Option, Proposal, Space
from matgen.optimize.spaces.realisation import one_for_each

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

_UNKNOWN_CHARGE = 10.0
"""Violation of a composition with an element of unknown oxidation states, in elementary charges."""


@SPACES.register("composition")
@dataclass
class CompositionSpace(Space):
    """Atomic fractions of chosen elements that sum to 1, rounded to whole formulas.

    Each element has a weight u in [0, 1]; its share is -log(1 - u) over the sum of all, so that uniform weights give
    uniform points of the simplex. Weights below ``present``, and all but the ``most`` largest, leave an element out.
    The formula of at most ``max_atoms`` atoms nearest to the shares is realised by a generator. Chemistry's rules
    (charge neutrality with the electronegativity order, the number of elements) are Optuna constraints: a formula that
    breaks one is told as infeasible, with the size of the violation, and is not evaluated.

    Args:
        elements: Symbols.
        required: Symbols that every composition contains.
        one_of: Symbols of which every composition contains exactly one.
        max_atoms: Atoms of the formula unit.
        least: Fewest elements.
        most: Most elements.
        present: See above.
        neutral: Whether charge neutrality is demanded.
        model: Generator that realises a formula.
        config: Its settings.
    """

    name: ClassVar[str] = "composition"

    elements: list[str]
    required: list[str] = field(default_factory=list)
    one_of: list[str] = field(default_factory=list)
    max_atoms: Annotated[int, Field(ge=2, le=40)] = 10
    least: Annotated[int, Field(ge=1)] = 2
    most: Annotated[int, Field(ge=1)] = 4
    present: Annotated[float, Field(ge=0, lt=1)] = 0.3
    neutral: bool = True
    model: str = "retrieval"
    config: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse unknown elements and impossible bounds."""
        where = "space.composition"
        for symbol in [*self.elements, *self.required, *self.one_of]:
            if not Element.is_valid_symbol(symbol):
                raise ConfigError(f"{symbol!r} is no element.", where=f"{where}.elements")
        if not {*self.required, *self.one_of} <= set(self.elements):
            raise ConfigError("a required element is not among the elements.", where=f"{where}.required")
        if not self.least <= self.most or self.least > len(self.elements):
            raise ConfigError("the bounds on the number of elements cannot be met.", where=f"{where}.least")

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The formula nearest to the suggested shares."""
        weights = np.array([trial.suggest_float(symbol, 0.0, 1.0) for symbol in self.elements])
        formula = self.formula(weights)
        return Proposal({"formula": formula}, formula, self.violations(formula))

    def formula(self, weights: np.ndarray) -> str:
        """Reduced formula of the point with weights (E,)."""
        inside = np.where(weights < self.present, 0.0, weights)
        required = [self.elements.index(symbol) for symbol in self.required]
        if self.one_of:
            rivals = [self.elements.index(symbol) for symbol in self.one_of]
            chosen = rivals[int(weights[rivals].argmax())]
            inside[rivals] = 0.0
            required.append(chosen)
        inside[required] = np.maximum(weights[required], 0.05)
        free = [i for i in np.argsort(-inside, kind="stable").tolist() if i not in required]
        inside[free[max(self.most - len(required), 0) :]] = 0.0
        if not inside.any():
            inside[int(weights.argmax())] = 1.0
        shares = -np.log1p(-np.minimum(inside, 1 - 1e-6))
        counts = nearest_counts(shares / shares.sum(), self.max_atoms)
        counts[required] = np.maximum(counts[required], 1)
        amounts = {s: int(n) for s, n in zip(self.elements, counts, strict=True) if n}
        return str(Composition(amounts).reduced_formula)

    def violations(self, formula: str) -> dict[str, float]:
        """Optuna's constraints on a formula: elementary charges, and elements too few or too many."""
        amounts = dict(Composition(formula).get_el_amt_dict())
        found = {"number of elements": float(max(self.least - len(amounts), len(amounts) - self.most))}
        if self.neutral:
            charge, reason = self._neutrality.judge(amounts)
            found["charge neutrality"] = 0.0 if reason is None else min(max(charge, 1.0), _UNKNOWN_CHARGE)
        return found

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """One structure of each formula."""
        requests = [Request(formula=item["formula"]) for item in items]
        return one_for_each(self.model, requests, ids, self.config, executor)

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, D) composition statistics."""
        return composition_features([item["formula"] for item in items])

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Random feasible formulas that are not taken."""
        found: dict[str, Option] = {}
        for weights in rng.random((min(n, 4000), len(self.elements))):
            formula = self.formula(weights)
            if formula in taken or formula in found or max(self.violations(formula).values()) > 0:
                continue
            params = {s: float(w) for s, w in zip(self.elements, weights, strict=True)}
            found[formula] = Option(params, {"formula": formula})
        return list(found.values())

    @cached_property
    def _neutrality(self) -> ChargeNeutral:
        return ChargeNeutral()


def nearest_counts(shares: np.ndarray, max_atoms: int) -> np.ndarray:
    """(E,) whole counts of at most ``max_atoms`` whose shares are nearest to the given ones, smallest formula first.

    Args:
        shares: (E,) that sum to 1.
        max_atoms: Atoms of the formula.
    """
    best, least = np.zeros(len(shares), dtype=int), np.inf
    for total in range(1, max_atoms + 1):
        counts = np.floor(shares * total).astype(int)
        for i in np.argsort(counts - shares * total, kind="stable")[: total - counts.sum()]:
            counts[i] += 1
        miss = float(np.abs(counts / total - shares).sum())
        if miss < least - 1e-9:
            best, least = counts, miss
    return best
