"""The typed recipe by which a surrogate is trained: what it predicts, how, and what its card says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from matgen.workflow.config import Section


class SurrogateRecipe(Section):
    """Arguments of :func:`matgen.surrogates.training.train_surrogate` that do not depend on where files lie.

    Args:
        property: Name of the property.
        column: Column of the table that holds it; null for the property's name.
        surrogate: Name in the registry.
        seed: Of everything random.
        settings: Settings of the surrogate by name.
        facts: What the card says besides: data, licence, intended use, limits.
    """

    property: str
    column: str | None = None
    surrogate: str = "graph-ensemble"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    facts: Annotated[dict[str, Any], Field(default_factory=dict)]
