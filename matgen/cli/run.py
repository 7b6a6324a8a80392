"""``matgen run``: a workflow from its file, or the rest of one that was stopped."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value of the workflow. Repeatable.")
]


def verb(
    workflow: Annotated[str, typer.Argument(help="A workflow file (YAML), or the name of a workflow.")],
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run [default: runs/NAME].")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check and show the resolved configuration.")] = False,
    as_json: Json = False,
) -> None:
    """Run a workflow; the same command on the same folder goes on where it was stopped."""
    from matgen.workflow.config import load_workflow
    from matgen.workflow.run import run

    if check:
        config = load_workflow(workflow, settings or ())
        emit(config.model_dump(mode="json"), as_json, text=config.text())
        return
    result = run(workflow, settings or (), out=out)
    emit({"run": str(result.folder), **result.record}, as_json, text=_text(result.folder, result.record))


def _text(folder: Path, record: dict[str, Any]) -> str:
    steps = [f"{s['stage']:<14}{s['entered']:>8} -> {s['left']:<8}" for s in record["funnel"]]
    seconds = sum(record["timings"].values())
    made = [f"  {folder / product}" for product in record["products"]]
    return "\n".join([*steps, f"{seconds:.0f} s in all; results:", *made])
