"""``matgen hull``: energies above a reference hull, its diagram, and the making of reference tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matgen.cli.console import Json, emit, stderr
from matgen.cli.relax import PotentialName, Setting, Workers, potential_spec, write_result
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor

CHEMICAL_SYSTEM = re.compile(r"[A-Z][a-z]?(-[A-Z][a-z]?)+")


def verb(
    target: Annotated[str, typer.Argument(help="A structure file, or a chemical system such as Li-P-S to draw.")],
    out: Annotated[Path | None, typer.Option(help="Result file; for a diagram .html or .png.")] = None,
    reference: Annotated[
        str,
        typer.Option(help="Name of a reference table, path of one's own, or mp for the Materials Project's energies."),
    ] = "chgnet-0.3.0",
    potential: PotentialName = "chgnet",
    setting: Setting = None,
    relax: Annotated[bool, typer.Option(help="Relax structures that carry no energies yet.")] = True,
    build_reference: Annotated[
        bool, typer.Option("--build-reference", help="Make a reference table in the folder --out from TARGET.")
    ] = False,
    window: Annotated[float, typer.Option(help="Building: relax what is this near the hull, eV/atom.")] = 0.03,
    also: Annotated[list[Path] | None, typer.Option(help="Building: more sources of structures. Repeatable.")] = None,
    guesses: Annotated[
        Path | None, typer.Option(help="Building: guessed structures of compositions that are known by formula only.")
    ] = None,
    note: Annotated[str, typer.Option(help="Building: where the structures come from, for the card.")] = "",
    workers: Workers = 0,
    json: Json = False,
) -> None:
    """Judge structures by a reference hull, draw a hull, or make a reference table."""
    from matgen.execution import Pool

    spec, pool = potential_spec(potential, setting), Pool(workers)
    if CHEMICAL_SYSTEM.fullmatch(target) and not Path(target).exists():
        emit(_draw(target, reference, out), json)
    elif build_reference:
        facts = {"source": note or Path(target).name}
        emit(_build([Path(target), *(also or [])], _required(out), guesses, spec, window, facts, pool), json)
    else:
        emit(_judge(Path(target), _required(out), reference, spec, relax, pool), json)


def _judge(
    source: Path, out: Path, reference: str, spec: dict[str, Any], relax_first: bool, executor: Executor
) -> dict[str, Any]:
    from matgen.data.candidates import Candidates
    from matgen.stability.hull import hull

    candidates = Candidates.from_file(source)
    if "energy" not in candidates.table:
        if reference.partition("?")[0] == "mp":
            raise ConfigError(
                "the structures carry no energies of density functional theory.",
                where=str(source),
                fix="Give columns energy (eV/atom) and energy_scale, such as dft-GGA_GGA+U/MP2020, or use a "
                "potential's own reference table.",
            )
        candidates = _with_energies(candidates, spec, relax_first, executor)
    column = "energy" if "energy" in candidates.table else "energy_unrelaxed"
    judged = hull(candidates, reference, energies=column)  # type: ignore[arg-type]
    above = judged.table["e_above_hull" if column == "energy" else "e_above_hull_unrelaxed"]
    below = {f"within_{limit:g}_eV_per_atom": int((above <= limit).sum()) for limit in (0.0, 0.025, 0.1)}
    return {**write_result(judged, out), "reference": reference, "energies": column, **below}


def _with_energies(candidates: Candidates, spec: dict[str, Any], relax_first: bool, executor: Executor) -> Candidates:
    from matgen.stability.relaxation import relax, single_point

    doing = "relaxing them first (--no-relax leaves them as they are)" if relax_first else "computing them unrelaxed"
    stderr.print(f"The structures carry no energies: {doing}, with {spec['name']}.")
    return (
        relax(candidates, spec, executor=executor) if relax_first else single_point(candidates, spec, executor=executor)
    )


def _build(
    sources: list[Path],
    out: Path,
    guesses: Path | None,
    spec: dict[str, Any],
    window: float,
    facts: dict[str, Any],
    executor: Executor,
) -> dict[str, Any]:
    from matgen.stability.reference_building import build_reference
    from matgen.workflow.ledger_executor import LedgerExecutor

    structures = [s for source in sources for s in _structures(source)]
    guessed = _structures(guesses) if guesses else []
    # The ledger lets the same command go on where it was stopped.
    resumable = LedgerExecutor(out.with_name(f"{out.name}.work"), executor)
    table = build_reference(
        structures, out, guesses=guessed, potential=spec, window=window, facts=facts, executor=resumable
    )
    return {"out": str(out), **table.card}


def _structures(source: Path) -> list[Structure]:
    """All structures of a data set that was ingested, or of a structure file."""
    from matgen.data.dataset import STRUCTURES, Dataset
    from matgen.data.structures import read_structures

    return Dataset.open(source).structures if (source / STRUCTURES).is_file() else read_structures(source)[1]


def _draw(system: str, reference: str, out: Path | None) -> dict[str, Any]:
    from matgen.stability.diagram import draw_hull

    path = out or Path(f"{system}.html")
    return {"out": str(path), **draw_hull(system.split("-"), path, reference)}


def _required(out: Path | None) -> Path:
    if out is None:
        raise ConfigError("no result file was named.", where="--out", fix="Give --out FILE.")
    return out
