"""``matgen screen``: check structures against constraints, and say why one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matgen.cli.console import Json, emit
from matgen.cli.relax import Out, Source, Workers, write_result

ConstraintOption = Annotated[
    list[str] | None,
    typer.Option(help="name[:key=value]..., as in elements:forbidden=Pb,Cd. Repeatable; replaces the defaults."),
]

PluginOption = Annotated[
    list[Path] | None,
    typer.Option(help="Your own Python file, whose constraints can then be named. It is run. Repeatable."),
]


def verb(
    source: Source,
    out: Out,
    constraint: ConstraintOption = None,
    plugin: PluginOption = None,
    workers: Workers = 0,
    json: Json = False,
) -> None:
    """Screen structures by constraints; rejected ones are kept apart, each with its reasons."""
    from matgen.constraints.screening import ADDED, screen
    from matgen.constraints.specification import DEFAULT_SPECS, parse_option
    from matgen.data.candidates import Candidates
    from matgen.execution import Pool
    from matgen.registry import load_user_file

    for file in plugin or []:
        load_user_file(file)
    specs = [parse_option(text) for text in constraint] if constraint else list(DEFAULT_SPECS)
    candidates = Candidates.from_file(source)
    # A file that was screened before is judged anew; its old columns would contradict the new ones.
    candidates.table = candidates.table.drop(columns=[name for name in ADDED if name in candidates.table])
    with Pool(workers) as pool:
        screened = screen(candidates, specs, executor=pool)
    rejections = screened.rejected[["id", "formula", "reason"]].to_dict("records")
    result = {"rows_in": len(candidates), **write_result(screened, out), "rejections": rejections}
    lines = [f"{row['id']}  {row['formula']}: {row['reason']}" for row in rejections]
    emit(result, json, "\n".join([*lines, f"{len(screened)} of {len(candidates)} structures pass: {out}"]))
