"""``matgen list``: what can be named in a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from matgen.cli.console import Json, emit, stdout

if TYPE_CHECKING:
    from rich.table import Table


def verb(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="generators, constraints, surrogates, potentials, properties, models, references, workflows"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what there is, with one sentence each."""
    from matgen.workflow.catalogue import KINDS, catalogue

    found = {k: catalogue(k) for k in ([kind] if kind else KINDS)}
    if as_json:
        emit(dict(found[kind] if kind else found), as_json)
    else:
        stdout.print(_table(found))


def _table(found: dict[str, dict[str, str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for kind, names in found.items():
        table.add_row(f"[bold]{kind}[/]", "")
        for name, said in names.items() or [("none", "")]:
            table.add_row(f"  {name}", said)
    return table
