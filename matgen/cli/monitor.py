"""``matgen monitor``: scores of answers over time."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    log: Annotated[
        Path | None,
        typer.Argument(help="Log that 'matgen ask' and 'matgen chat' wrote [default: $MATGEN_HOME/answers.jsonl]."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write an HTML page with the curves.")] = None,
    as_json: Json = False,
) -> None:
    """Summarise the log of answers, and plot it."""
    from matgen.assistant.monitoring import default_log, plot, read_log, summary

    rows = read_log(log or default_log())
    if out is not None:
        plot(rows, out)
    emit(summary(rows), as_json)
