"""``matgen train``: fit models on one's own data."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit

app = typer.Typer(help="Train a model.", no_args_is_help=True)


@app.command("surrogate")
def surrogate(
    data: Annotated[Path, typer.Argument(help="Structures with a column of values, e.g. from 'matgen data ingest'.")],
    prop: Annotated[str, typer.Option("--property", help="Name of the property.")],
    out: Annotated[Path, typer.Option(help="Folder for weights and card; the same command goes on where it stopped.")],
    kind: Annotated[str, typer.Option("--surrogate", help="Kind of surrogate.")] = "graph-ensemble",
    column: Annotated[str | None, typer.Option(help="Column with the values, if not named like the property.")] = None,
    test: Annotated[Path | None, typer.Option(help="Structures to measure the trained model on.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of the surrogate: name=value.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="YAML or JSON file of facts for the card (source, licence).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a surrogate with calibrated uncertainty."""
    import yaml

    from matgen.surrogates.training import parse_settings, train_surrogate

    facts = yaml.safe_load(card.read_text(encoding="utf-8")) if card else {}
    chosen = parse_settings(settings or [])
    model = train_surrogate(
        data, prop, out=out, surrogate=kind, column=column, test=test, seed=seed, settings=chosen, facts=facts
    )
    emit({"out": str(out), "card": getattr(model, "card", {})}, as_json, text=f"wrote {out}")
