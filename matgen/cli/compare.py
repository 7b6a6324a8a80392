"""``matgen compare``: which generator suits a data set."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    data: Annotated[Path, typer.Argument(help="Ingested data set or structure file.")],
    out: Annotated[Path, typer.Option(help="Folder for the leaderboard; the same command goes on where it stopped.")],
    generators: Annotated[
        list[str] | None, typer.Option("--generator", help="Family or trained model; several times for several.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Training time of each family.")] = 5.0,
    samples: Annotated[int, typer.Option(help="Drawn from each.")] = 200,
    relaxed: Annotated[int, typer.Option(help="Valid and new samples of each that are relaxed.")] = 32,
    max_atoms: Annotated[int, typer.Option(help="Larger cells are left out.")] = 20,
    seed: Annotated[int, typer.Option(help="Of training and sampling.")] = 0,
    as_json: Json = False,
) -> None:
    """Train the families on one data set under one budget, and recommend one."""
    from matgen.evaluate.comparison import Budget, compare
    from matgen.report.leaderboard import write_leaderboard

    found = compare(data, out, generators or (), budget=Budget(minutes, samples, relaxed, max_atoms, seed))
    page = write_leaderboard(found, out)
    emit(
        {
            "recommended": found.recommended,
            "reason": found.reason,
            "report": str(page),
            "leaderboard": found.table.to_dict("records"),
        },
        as_json,
    )
