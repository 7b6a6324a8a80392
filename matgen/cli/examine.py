"""``matgen examine``: phonons, elastic moduli, equation of state and decomposition of the best candidates."""

from __future__ import annotations

from typing import Annotated

import typer

from matgen.cli.console import Json, emit
from matgen.cli.relax import Out, PotentialName, Setting, Source, Workers, potential_spec, write_result


def verb(
    source: Source,
    out: Out,
    potential: PotentialName = "chgnet",
    setting: Setting = None,
    top: Annotated[
        int, typer.Option(min=1, help="Examine the first so many structures; the others are left out.")
    ] = 10,
    seconds: Annotated[float, typer.Option(min=1.0, help="Time limit of one structure, s.")] = 600.0,
    workers: Workers = 0,
    json: Json = False,
) -> None:
    """Check dynamical and elastic stability of the first candidates of a (ranked) file."""
    from matgen.data.candidates import Candidates
    from matgen.execution import Pool
    from matgen.stability.examination import examine

    read = Candidates.from_file(source)
    first = Candidates(read.table.iloc[:top], read.structures[:top])
    done = examine(first, potential_spec(potential, setting), seconds=seconds, executor=Pool(workers))
    stable = {name: int((done.table[name] == True).sum()) for name in ("dynamically_stable", "born_stable")}  # noqa: E712
    emit({**write_result(done, out), "of": len(read), **stable}, json)
