"""``matgen optimize``: the best candidates of a space in few evaluations."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit


def verb(
    workflow: Annotated[str, typer.Argument(help="A workflow file (YAML) of the kind 'optimize'.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value of the workflow. Repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run [default: runs/NAME].")] = None,
    storage: Annotated[str | None, typer.Option(help="Database address or journal that processes share.")] = None,
    worker: Annotated[int, typer.Option(min=0, help="A different number for each process on one study.")] = 0,
    as_json: Json = False,
) -> None:
    """Search with Optuna; the same command on the same folder goes on where it was stopped."""
    from matgen.errors import ConfigError
    from matgen.workflow.config import load_workflow
    from matgen.workflow.run import run

    given = [*(settings or ())]
    given += [f"search.storage={storage}"] if storage is not None else []
    given += [f"search.worker={worker}"] if worker else []
    kind = load_workflow(workflow, given, check=False).workflow
    if kind != "optimize":
        raise ConfigError(
            f"this is a workflow of the kind {kind!r}.", where=workflow, fix="Use 'matgen run', which takes every kind."
        )
    result = run(workflow, given, out=out)
    best = result.candidates.table.head(10)
    shown = [c for c in ("rank", "id", "formula", *_named(result.config.model_dump())) if c in best]
    rows = best[shown].to_dict("records")
    text = "\n".join([_line(row) for row in rows] + [f"{result.folder / name}" for name in result.record["products"]])
    emit({"run": str(result.folder), "best": rows, **result.record}, as_json, text=text)


def _named(config: dict[str, Any]) -> list[str]:
    parts = [*config["objectives"], *config["limits"]]
    return list(dict.fromkeys(part["property"] for part in parts))


def _line(row: dict[str, Any]) -> str:
    values = [f"{name} {value:.4g}" for name, value in row.items() if isinstance(value, float)]
    return "  ".join([f"{row['rank']:>4}", str(row.get("formula", row["id"])), *values])
