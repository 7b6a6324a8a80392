"""Assess the surrogate of a recipe on a table: everything measured once, tables and a page in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.property import find_property
from matgen.errors import ConfigError, did_you_mean
from matgen.report.assessment import write_assessment
from matgen.runtime import whole_file, write_json
from matgen.surrogates.assessment import (
    BASELINES,
    HeldOut,
    OnVectors,
    Plan,
    by_region,
    comparison,
    hold_out,
    importances,
    learning_curve,
)
from matgen.surrogates.attribution import element_contributions
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.graph import GraphEnsemble
from matgen.surrogates.training import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.workflow.surrogate_recipe import SurrogateRecipe

IMPORTANCE_ROWS = 500


def validate(
    recipe: SurrogateRecipe,
    data: Sequence[str | Path],
    out: str | Path,
    *,
    against: Sequence[str] = (),
    plan: Plan | None = None,
    rows: int | None = None,
    curve: bool = False,
    features: bool = False,
) -> dict[str, Any]:
    """Hold out each fold in turn, and say how far the surrogate of a recipe may be trusted.

    Writes ``comparison.csv`` (with a constant and a linear model), ``held_out.csv``, ``regions.csv``, on request
    ``learning.csv`` and ``importances.csv``, ``validation.json``, and ``validation.html`` with the charts.

    Args:
        recipe: What is predicted, how, and how the table is read.
        data: Ingested data sets, structure files, or tables of formulas.
        out: Folder for the results.
        against: Other surrogates, with their default settings, for the comparison.
        plan: Folds and seed.
        rows: At most so many rows of the data, drawn at random.
        curve: Whether a learning curve is measured.
        features: Whether importances of features are measured.

    Raises:
        ConfigError: No such surrogate or property.
    """
    plan, out = plan or Plan(), Path(out)
    recipe.declare()
    find_property(recipe.property)
    for name in (recipe.surrogate, *against):
        if name not in SURROGATES:
            raise ConfigError(f"there is no surrogate {name!r}.", fix=did_you_mean(name, SURROGATES.names()))
    if features:
        _check_features(recipe)
    materials, values, missing = read_rows(list(data), recipe.column or recipe.property, recipe.table())
    materials, values = _some(materials, values, rows, plan.seed)
    settings = {recipe.surrogate: recipe.settings}
    names = list(dict.fromkeys((recipe.surrogate, *against, *BASELINES)))
    models = [hold_out(materials, values, recipe.property, name, settings.get(name), plan) for name in names]
    tables = {"comparison": comparison(models), "regions": by_region(models[0], materials)}
    given = (materials, values, recipe.property, recipe.surrogate, recipe.settings)
    if curve:
        tables["learning"] = learning_curve(*given, plan)
    if features:
        tables["importances"] = _importances(*given, plan.seed)
    facts: dict[str, Any] = {
        "property": recipe.property,
        "surrogate": recipe.surrogate,
        "data": ", ".join(Path(d).name for d in data),
    }
    facts |= {"rows": len(values), "rows_without_value": missing, "split": plan.split, "folds": plan.folds}
    return _written(models, tables, facts | {"seed": plan.seed}, out)


def _some(
    materials: Sequence[Any], values: np.ndarray, rows: int | None, seed: int
) -> tuple[Sequence[Any], np.ndarray]:
    if rows is None or rows >= len(values):
        return materials, values
    chosen = np.random.default_rng(seed).permutation(len(values))[:rows]
    return [materials[i] for i in chosen], values[chosen]


def _check_features(recipe: SurrogateRecipe) -> None:
    """Refuse importances that cannot be measured before anything is, since the folds take long."""
    model = SURROGATES.get(recipe.surrogate)(find_property(recipe.property), **recipe.settings)
    if not isinstance(model, OnVectors | GraphEnsemble):
        raise ConfigError(
            "it works neither on named features nor on graphs of crystals.",
            where=recipe.surrogate,
            fix="Leave --features out.",
        )


def _importances(
    materials: Sequence[Any], values: np.ndarray, prop: str, surrogate: str, settings: dict[str, Any], seed: int
) -> pd.DataFrame:
    """Of a surrogate fitted to four fifths of the rows, on the others: by feature, or by element for graphs."""
    model = SURROGATES.get(surrogate)(find_property(prop), **settings)
    rng = np.random.default_rng(seed)
    out, rest = np.split(rng.permutation(len(values)), [len(values) // 5])
    model.fit([materials[i] for i in rest], values[rest], rng=rng)
    some = [materials[i] for i in out[:IMPORTANCE_ROWS]]
    if isinstance(model, GraphEnsemble):
        return element_contributions(model, some)
    return importances(model, some, values[out[:IMPORTANCE_ROWS]], rng)


def _written(
    models: list[HeldOut], tables: dict[str, pd.DataFrame], facts: dict[str, Any], out: Path
) -> dict[str, Any]:
    columns = {"value": models[0].values, "fold": models[0].fold}
    for held in models:
        columns |= {f"{held.name} mean": held.mean, f"{held.name} std": held.std}
    for name, table in {**tables, "held_out": pd.DataFrame(columns)}.items():
        with whole_file(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    page = write_assessment(models, tables, facts, out)
    shown = {name: table.astype(object).where(table.notna(), None).to_dict("records") for name, table in tables.items()}
    write_json(out / "validation.json", {**facts, **shown})
    return {**facts, "report": str(page), **shown}
