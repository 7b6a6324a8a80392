"""The typed recipe by which a surrogate is trained: what it predicts, how, and what its card says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from matgen.data.property import Property, declare
from matgen.surrogates.settings import checked_settings
from matgen.surrogates.tables import FormulaTable
from matgen.workflow.config import Section


class SurrogateRecipe(Section):
    """Arguments of :func:`matgen.surrogates.training.train_surrogate` that do not depend on where files lie.

    Args:
        property: Name of the property.
        define: Label, unit and bounds of a property of one's own, as :class:`matgen.data.property.Property` takes them.
        column: Column of the table that holds it; null for the property's name.
        formula: Column of formulas, for tables without structures; null for structures.
        above: Values at or below this bound are left out and counted, such as a zero that means unknown.
        log10: Whether the logarithm of the column is what the property holds.
        surrogate: Name in the registry.
        seed: Of everything random.
        settings: Settings of the surrogate by name.
        facts: What the card says besides: data, licence, intended use, limits.
    """

    property: str
    define: dict[str, Any] | None = None
    column: str | None = None
    formula: str | None = None
    above: float | None = None
    log10: bool = False
    surrogate: str = "graph-ensemble"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    facts: Annotated[dict[str, Any], Field(default_factory=dict)]

    def declare(self) -> None:
        """Make the recipe's own property known, if it defines one.

        Raises:
            ConfigError: The definition is incomplete or says what a property does not have.
        """
        if self.define is not None:
            declare(checked_settings(Property, {"name": self.property, **self.define}, "a property"))

    def card_facts(self) -> dict[str, Any]:
        """What the card says besides, with the definition of an own property, so that the model can be loaded."""
        return {**self.facts, "defines": self.define} if self.define is not None else self.facts

    def table(self) -> FormulaTable | None:
        """How a table is read; None where structures and their values are taken as they are."""
        plain = self.formula is None and self.above is None and not self.log10
        return None if plain else FormulaTable(self.formula, self.above, self.log10)
