"""``matgen train``: fit models on one's own data."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit, steps_shown

app = typer.Typer(help="Train a model.", no_args_is_help=True)


@app.command("surrogate")
def surrogate(
    recipe: Annotated[Path, typer.Argument(help="YAML file, e.g. workflows/surrogates/band-gap-graph.yaml.")],
    data: Annotated[list[Path], typer.Option(help="Ingested data set or structure file; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for weights and card; the same command goes on where it stopped.")],
    exclude: Annotated[Path | None, typer.Option(help="Data set whose ids must not be learned from.")] = None,
    test: Annotated[Path | None, typer.Option(help="Structures to measure the trained model on.")] = None,
    cross_validate: Annotated[int, typer.Option(help="Folds by which it is measured first; 0 for none.")] = 0,
    split: Annotated[
        str, typer.Option(help="What no two folds share: random, formula, chemical_system, scaffold, cluster.")
    ] = "formula",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. settings.epochs=10.")] = None,
    as_json: Json = False,
) -> None:
    """Train a surrogate with calibrated uncertainty."""
    from matgen.surrogates.training import train_surrogate
    from matgen.workflow.recipe import read_recipe
    from matgen.workflow.surrogate_recipe import SurrogateRecipe

    plan = read_recipe(SurrogateRecipe, recipe, settings or [])
    plan.declare()
    model = train_surrogate(
        list(data),
        plan.property,
        out=out,
        surrogate=plan.surrogate,
        column=plan.column,
        exclude=exclude,
        test=test,
        seed=plan.seed,
        settings=plan.settings,
        facts=plan.card_facts(),
        table=plan.table(),
        folds=cross_validate,
        split=split,  # type: ignore[arg-type]  # checked where the folds are made
    )
    measured: dict[str, object] = {key: model.card[key] for key in ("cross_validation", "test") if key in model.card}
    emit({"out": str(out), "property": plan.property, "rows": model.card["rows"], **measured}, as_json)


@app.command("generator")
def generator(
    recipe: Annotated[Path, typer.Argument(help="YAML file, e.g. workflows/generators/flow-mp20.yaml.")],
    data: Annotated[list[Path], typer.Option(help="Ingested data set; give several times for several.")],
    out: Annotated[Path, typer.Option(help="Folder for weights and card; the same command goes on where it stopped.")],
    exclude: Annotated[Path | None, typer.Option(help="Data set whose ids must not be learned from.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Override, e.g. training.steps=500.")] = None,
    as_json: Json = False,
) -> None:
    """Train a generator: one readable loop, resumable, on the CPU or a GPU."""
    from matgen.generators.training import train
    from matgen.workflow.generator_recipe import GeneratorRecipe
    from matgen.workflow.recipe import read_recipe

    plan = read_recipe(GeneratorRecipe, recipe, settings or [])
    with steps_shown("train") as progress:
        model = train(
            list(data),
            out,
            generator=plan.generator,
            config=plan.config,
            settings=plan.training.settings(),
            max_atoms=plan.max_atoms,
            exclude=exclude,
            validation=plan.validation,
            half=plan.half,
            start_from=plan.start_from,
            facts=plan.facts,
            progress=progress,
        )
    emit({"out": str(out), "data": model.card["data"], "losses": model.card["losses"]}, as_json)
