"""``matgen validate``: how far a surrogate may be trusted."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matgen.cli.console import Json, emit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def verb(
    recipe: Annotated[Path, typer.Argument(help="YAML file, e.g. workflows/surrogates/expt-gap-composition.yaml.")],
    data: Annotated[list[Path], typer.Option(help="Data set, structure file or table of formulas; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and validation.html.")],
    against: Annotated[
        list[str] | None, typer.Option(help="Another surrogate ('matgen list surrogates') to compare; repeatable.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="What no two folds share: random, formula, chemical_system, scaffold, cluster.")
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
    shown = [f"{key}: {value}" for key, value in found.items() if not isinstance(value, list)]
    emit(found, as_json, text="\n".join([*shown, *_table(found["comparison"])]))


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a model under a line of heads; a dash where a baseline says nothing."""
    lines = [[key.replace("_", " ") for key in rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
