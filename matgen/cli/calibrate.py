"""``matgen calibrate``: intervals of a trained surrogate that hold 90 % of one's own data."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    model: Annotated[str, typer.Argument(help="Name of a shipped model ('matgen list models') or folder.")],
    data: Annotated[
        list[Path],
        typer.Option(help="Data set, structure file or table with true values, new to the model; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the calibrated model.")],
    column: Annotated[str | None, typer.Option(help="Column of the values; default: the property's name.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column of formulas, for a table without structures.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="The model's recipe, which says how its table is read.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="Data set whose ids are left out.")] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="DATA are those of the training: use what it kept aside.")
    ] = False,
    test: Annotated[Path | None, typer.Option(help="Rows to measure the calibrated model on.")] = None,
    as_json: Json = False,
) -> None:
    """Set the size of a model's intervals anew, by region of chemistry, on rows that it has not learned from."""
    from matgen.surrogates.calibration import calibrate_surrogate
    from matgen.surrogates.tables import FormulaTable
    from matgen.workflow.recipe import read_recipe
    from matgen.workflow.surrogate_recipe import SurrogateRecipe

    plan = None if recipe is None else read_recipe(SurrogateRecipe, recipe, [])
    table = FormulaTable(formula) if formula is not None else plan.table() if plan is not None else None
    found = calibrate_surrogate(
        model,
        list(data),
        out=out,
        column=column or (plan.column if plan is not None else None),
        exclude=exclude,
        table=table,
        held_out=held_out,
        test=test,
    )
    record = {"out": str(out), **found.card["calibration"]}
    if test is not None:
        record["test"] = found.card["test"]
    lines = [f"{key}: {value}" for key, value in record.items() if key != "regions"]
    lines.append(f"{'region':42} {'rows':>6} {'before':>7} {'after':>7}")
    lines += [f"{r['region']:42} {r['rows']:6d} {r['before']:7.1%} {r['after']:7.1%}" for r in record["regions"]]
    emit(record, as_json, text="\n".join(lines))
