"""``matgen sample``: structures from a generator."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit


class Task(StrEnum):
    """What a sample is for."""

    dng = "dng"
    csp = "csp"


def verb(
    model: Annotated[str, typer.Argument(help="Shipped model, generator, or folder of a trained model.")],
    out: Annotated[Path, typer.Option(help=".extxyz, .parquet, .db, a folder of CIFs; .csv or .smi for SMILES.")],
    n: Annotated[int, typer.Option("--n", help="How many structures.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same structures.")] = 0,
    formula: Annotated[str | None, typer.Option(help="Exact formula, e.g. SrTiO3.")] = None,
    chemical_system: Annotated[str | None, typer.Option(help="Exactly these elements, e.g. Li-P-S.")] = None,
    n_atoms: Annotated[int | None, typer.Option(help="Atoms in the primitive cell.")] = None,
    space_group: Annotated[int | None, typer.Option(help="International number, 1 to 230.")] = None,
    text: Annotated[
        str | None, typer.Option(help="What is wanted in words, for models trained on them (diffusion-text-mp20).")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(help="Structure whose atoms and cell are given; the rest is made.")
    ] = None,
    fix_sites: Annotated[str | None, typer.Option(help="Which of its atoms, e.g. 0-3,7, or 'none'.")] = None,
    fix_cell: Annotated[bool, typer.Option("--fix-cell/--free-cell", help="Whether its cell is given, too.")] = True,
    symmetrise: Annotated[float | None, typer.Option(help="Å within which samples are given exact symmetry.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="target.band_gap=1.6, or a sampling option such as steps=100.")
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="Acts inside sampling, e.g. elements:forbidden=Pb,Cd.")
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(help="Your own Python file with generators or constraints. It is run.")
    ] = None,
    library: Annotated[Path | None, typer.Option(help="Data set of templates, for 'retrieval' and 'hybrid'.")] = None,
    task: Annotated[Task, typer.Option(help="csp predicts one structure for each row of --data.")] = Task.dng,
    data: Annotated[Path | None, typer.Option(help="Table with material_id and cif or formula, for csp.")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Drawn for each wanted structure; the best is kept.")] = 1,
    rank_by: Annotated[
        str | None,
        typer.Option(
            help="What is best: energy, relaxed-energy, likelihood[:MODEL], arrangement[:MODEL] or "
            "surrogate:PROPERTY[:low|high|X]."
        ),
    ] = None,
    wish: Annotated[
        str | None, typer.Option(help="What to make, in plain words; shown as understood and confirmed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the wish beforehand.")] = False,
    as_json: Json = False,
) -> None:
    """Draw structures from a generator."""
    from matgen.constraints.specification import parse_option
    from matgen.data.fixed import read_fixed
    from matgen.data.structures import write_structures
    from matgen.errors import ConfigError
    from matgen.generators.smiles_sampling import TABLES, sample_smiles, write_smiles
    from matgen.optimize.selection import predict_structures, sample
    from matgen.registry import load_user_file
    from matgen.workflow.spelling import override

    for file in plugin or []:
        load_user_file(file)
    rules = [parse_option(text) for text in constraint or []]
    given = override({}, settings or [])
    target = given.pop("target", {})
    asked: dict[str, Any] = {
        "formula": formula,
        "chemical_system": chemical_system,
        "n_atoms": n_atoms,
        "space_group": space_group,
    }
    if wish is not None:
        from matgen.cli.ask import confirmed

        heard = confirmed(wish, yes)
        n, target = heard.request.n, {**heard.request.target, **target}
        asked = {name: getattr(heard.request, name) if value is None else value for name, value in asked.items()}
        rules = [*heard.constraints, *rules]
    if text is not None:
        asked["text"] = text
    if fix is not None:
        asked["fixed"] = read_fixed(fix, fix_sites, cell=fix_cell)
    if out.suffix in TABLES and rank_by is None:
        table = sample_smiles(model, n, seed, target=target, constraints=rules, options=given, **asked)
        write_smiles(out, table)
        emit({"model": model, "molecules": len(table), "out": str(out)}, as_json)
        return
    config = {"library": str(library)} if library else None
    best: dict[str, Any] = {"candidates": candidates, "rank_by": rank_by}
    if task is Task.csp:
        if data is None:
            raise ConfigError("task csp needs a table of compositions.", where="--data", fix="Give --data FILE.csv.gz.")
        made = predict_structures(model, data, seed, config=config, options=given, **best)
    else:
        made = sample(
            model,
            n,
            seed,
            **asked,
            target=target,
            constraints=rules,
            config=config,
            options=given,
            symmetrise=symmetrise,
            **best,
        )
    if out.suffix in TABLES:
        write_smiles(out, made.table)
    else:
        write_structures(out, made.table, made.structures)
    emit({"model": model, "structures": len(made), "rejected": len(made.rejected), "out": str(out)}, as_json)
