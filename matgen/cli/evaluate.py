"""``matgen evaluate``: metrics of generated structures, with their protocol."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


class Task(StrEnum):
    """What the structures were made for."""

    dng = "dng"
    csp = "csp"
    molecules = "molecules"


def verb(
    file: Annotated[Path, typer.Argument(help="Generated structures; for csp with material_id.")],
    reference: Annotated[
        Path | None, typer.Option(help="True structures, or those whose distribution is sought.")
    ] = None,
    task: Annotated[Task, typer.Option(help="dng: de novo generation; csp: prediction; molecules.")] = Task.dng,
    train: Annotated[Path | None, typer.Option(help="Molecules that were learned from, for their novelty.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write one row a structure to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Measure validity, uniqueness, novelty or match rate."""
    if task is Task.molecules:
        from matgen.evaluate.molecules import evaluate_molecules

        emit(evaluate_molecules(file, reference, train), as_json)
        return
    from matgen.evaluate.evaluation import evaluate
    from matgen.runtime import write_text

    metrics, rows = evaluate(file, reference, "csp" if task is Task.csp else "dng")
    if table is not None:
        write_text(table, rows.to_csv(index=False))
    emit(metrics, as_json)
