"""``matgen relax``: relax the structures in a file with a machine-learning potential."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matgen.cli.console import Json, emit

if TYPE_CHECKING:
    from matgen.data.candidates import Candidates

Source = Annotated[
    Path, typer.Argument(help="Structures: .extxyz, .parquet, .db, a CIF or POSCAR, or a folder of CIFs.")
]
Out = Annotated[Path, typer.Option(help="Where the result goes: .extxyz, .parquet, .db, or a folder of CIFs.")]
PotentialName = Annotated[str, typer.Option("--potential", help="Name of the potential ('matgen list potentials').")]
Setting = Annotated[
    list[str] | None, typer.Option("--setting", help="Setting of the potential, for example weights=FILE. Repeatable.")
]
Workers = Annotated[int, typer.Option(help="Worker processes; 0 is one for each core.")]


def verb(
    source: Source,
    out: Out,
    potential: PotentialName = "chgnet",
    setting: Setting = None,
    fmax: Annotated[float, typer.Option(min=1e-6, help="Largest force of a relaxed structure, eV/Å.")] = 0.05,
    max_steps: Annotated[int, typer.Option(min=0, help="Steps after which a structure counts as unconverged.")] = 300,
    cell: Annotated[bool, typer.Option(help="Relax the cell too.")] = True,
    symmetry: Annotated[bool, typer.Option(help="Keep the space group.")] = False,
    seconds: Annotated[float, typer.Option(min=1.0, help="Time limit of one structure, s.")] = 120.0,
    method: Annotated[str, typer.Option(help="'batched', or 'ase' for ASE's FIRE, one by one.")] = "batched",
    trajectory: Annotated[
        Path | None, typer.Option(help="Folder for the way of each structure, one .extxyz file each.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Keep finished work beside OUT until all is done, so that the same command goes on.")
    ] = True,
    workers: Workers = 0,
    json: Json = False,
) -> None:
    """Relax structures; failed ones are kept apart with a reason, and a killed run goes on where it stopped."""
    from matgen.data.candidates import Candidates
    from matgen.execution import Pool
    from matgen.stability.relaxation import relax
    from matgen.workflow.ledger_executor import LedgerExecutor

    work = out.with_name(f"{out.name}.work")
    relaxed = relax(
        Candidates.from_file(source),
        potential_spec(potential, setting),
        fmax=fmax,
        max_steps=max_steps,
        cell=cell,
        symmetry=symmetry,
        seconds=seconds,
        method=method,  # type: ignore[arg-type]
        trajectory=trajectory,
        executor=LedgerExecutor(work, Pool(workers)) if resume else Pool(workers),
    )
    statuses = {
        **relaxed.table["relax_status"].value_counts(),
        **relaxed.rejected.get("relax_status", []).value_counts(),
    }
    result = write_result(relaxed, out)
    if resume:
        shutil.rmtree(work)
    emit({**result, "statuses": {k: int(v) for k, v in statuses.items()}}, json)


def potential_spec(name: str, settings: list[str] | None) -> dict[str, Any]:
    """Name and settings of a potential from ``key=value`` options; values are read as YAML."""
    import yaml

    from matgen.errors import ConfigError

    pairs = [text.partition("=") for text in settings or []]
    for key, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"{key!r} is no setting.", where="--setting", fix="Write key=value.")
    return {"name": name, **{key: yaml.safe_load(value) for key, _, value in pairs}}


def write_result(candidates: Candidates, out: Path) -> dict[str, Any]:
    """Write the structures to ``out`` and, if any were rejected, those beside it with their reasons."""
    from matgen.data.structures import write_structures

    write_structures(out, candidates.table, candidates.structures)
    result: dict[str, Any] = {"out": str(out), "kept": len(candidates), "rejected": len(candidates.rejected)}
    if len(candidates.rejected):
        beside = out.with_name(f"{out.stem}.rejected.parquet")
        write_structures(beside, candidates.rejected, candidates.rejected_structures)
        result |= {"rejected_out": str(beside), "reasons": candidates.rejected["reason"].value_counts().to_dict()}
    return result
