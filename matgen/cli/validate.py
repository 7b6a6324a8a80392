"""``matgen validate``: how far a surrogate may be trusted."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    recipe: Annotated[Path, typer.Argument(help="YAML file, e.g. workflows/surrogates/expt-gap-composition.yaml.")],
    data: Annotated[list[Path], typer.Option(help="Data set, structure file or table of formulas; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and validation.html.")],
    against: Annotated[
        list[str] | None, typer.Option(help="Another surrogate ('matgen list surrogates') to compare; repeatable.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="What no two folds share: random, formula, chemical_system, cluster.")
    ] = "formula",
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and fits.")] = 0,
    rows: Annotated[int | None, typer.Option(min=50, help="Use at most so many rows, drawn at random.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Measure a learning curve too.")] = False,
    features: Annotated[bool, typer.Option("--features", help="Measure importances of features too.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. settings.trees=50.")] = None,
    as_json: Json = False,
) -> None:
    """Compare surrogates with baselines on held-out folds: errors, coverage, regions, learning, importances."""
    from matgen.surrogates.assessment import Plan
    from matgen.workflow.assessment import validate
    from matgen.workflow.recipe import read_recipe
    from matgen.workflow.surrogate_recipe import SurrogateRecipe

    plan = read_recipe(SurrogateRecipe, recipe, settings or [])
    found = validate(
        plan,
        list(data),
        out,
        against=against or (),
        plan=Plan(split, folds, seed),  # type: ignore[arg-type]  # checked where the folds are made
        rows=rows,
        curve=curve,
        features=features,
    )
    shown = {key: value for key, value in found.items() if not isinstance(value, list)}
    lines = [" ".join(f"{key} {value:.4g}" if isinstance(value, float) else str(value) for key, value in row.items())
             for row in found["comparison"]]  # fmt: skip
    emit(found, as_json, text="\n".join([*(f"{k}: {v}" for k, v in shown.items()), *lines]))
