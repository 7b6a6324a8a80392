"""``matgen report``: the report of a run, one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    run: Annotated[Path, typer.Argument(help="Folder of a run, with candidates.parquet.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="HTML file to write [default: RUN/report.html].")] = None,
    top: Annotated[int, typer.Option(min=0, help="Candidates that get a card with a 3-D view.")] = 20,
    explained: Annotated[int, typer.Option(min=0, help="Cards that carry an explanation with its sources.")] = 5,
    recipes: Annotated[
        Path | None,
        typer.Option(help="Reported syntheses to draw suggestions from, JSON lines [default: those of the corpus]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run: funnel, ranking, 3-D views, plots and record in one file that opens offline."""
    from matgen.report.page import report

    path = report(run, out, top, explained, recipes)
    emit({"report": str(path), "bytes": path.stat().st_size}, as_json, text=str(path))
