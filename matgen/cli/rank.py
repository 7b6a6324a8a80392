"""``matgen rank``: candidates in a file, best first, with reasons."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit


def verb(
    file: Annotated[Path, typer.Argument(help="Candidates with the columns to rank by: .parquet, .extxyz or .db.")],
    out: Annotated[Path | None, typer.Option(help="Result: .parquet, .extxyz, .db or a folder of CIFs.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="PROPERTY:minimise|maximise|target:LOW:HIGH[:key=value...]. Repeatable."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Rank candidates by how well they meet all objectives together."""
    from matgen.data.candidates import Candidates
    from matgen.data.structures import write_structures
    from matgen.optimize.ranking import DEFAULT_OBJECTIVES, parse_objective, rank, unranked

    objectives = [parse_objective(text) for text in objective or ()] or list(DEFAULT_OBJECTIVES)
    ranked = rank(unranked(Candidates.from_file(file)), objectives)
    if out is not None:
        write_structures(out, ranked.table, ranked.structures)
    columns = [c for c in ("rank", "id", "formula", "desirability", "pareto_front", "reasons") if c in ranked.table]
    rows = ranked.table[columns].head(top).to_dict("records")
    result = {"ranked": len(ranked), "out": str(out) if out else None, "top": rows}
    emit(result, as_json, text="\n".join(_line(row) for row in rows))


def _line(row: dict[str, Any]) -> str:
    return f"{row['rank']:>4}  {row.get('formula', row['id'])}  {row['desirability']:.3f}  {row['reasons']}"
