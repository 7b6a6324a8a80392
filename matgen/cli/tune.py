"""``matgen tune``: the settings of a training that give the lowest error."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    workflow: Annotated[str, typer.Argument(help="A workflow file (YAML) of the kind 'tune'.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value of the workflow. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run [default: runs/NAME].")] = None,
    as_json: Json = False,
) -> None:
    """Tune settings of a training; the same command on the same folder goes on where it was stopped."""
    from matgen.errors import ConfigError
    from matgen.workflow.config import load_workflow
    from matgen.workflow.run import run

    kind = load_workflow(workflow, settings or (), check=False).workflow
    if kind != "tune":
        raise ConfigError(
            f"this is a workflow of the kind {kind!r}.", where=workflow, fix="Use 'matgen run', which takes every kind."
        )
    result = run(workflow, settings or (), out=out)
    facts = result.record["protocol"]
    found = [f"{key}: {value}" for key, value in (facts["best"] or {}).items()]
    text = "\n".join([f"score {facts['score']}", *found, str(result.folder / "study.html")])
    emit({"run": str(result.folder), **result.record}, as_json, text=text)
