"""``matgen predict``: properties with their uncertainty for each structure of a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    prop: Annotated[
        str,
        typer.Argument(metavar="PROPERTY", help="Name of the property, e.g. band_gap; several with commas."),
    ],
    file: Annotated[
        Path,
        typer.Argument(help="Structures: .extxyz, .parquet, .cif, .db or a folder of CIFs; a table for --formula."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="CSV file: id, formula, mean, std, in_domain, domain_distance; or .parquet, .extxyz or .db: "
            "the structures with columns PROPERTY, PROPERTY_std and those two, as 'matgen rank' reads them."
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Name of a shipped model or folder of one's own; default: the shipped one.")
    ] = None,
    formula: Annotated[
        str | None, typer.Option(help="Column of formulas, where FILE is a CSV or Parquet table without structures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict properties with their uncertainty, and say whether the models know such structures."""
    from matgen.data.candidates import Candidates
    from matgen.data.structures import write_structures
    from matgen.errors import ConfigError
    from matgen.surrogates.prediction import (
        IN_DOMAIN,
        formula_table,
        predict,
        prediction_table,
        readable,
        surrogate_for,
        write_predictions,
    )

    names = [name.strip() for name in prop.split(",")]
    csv = out.suffix == ".csv"
    if len(names) > 1 and (model is not None or csv):
        raise ConfigError(
            f"{len(names)} properties need a file of structures as --out, and each its shipped model.",
            where="predict",
            fix="Name a .parquet file, or predict one property at a time.",
        )
    if formula is not None and not csv:
        raise ConfigError("formulas are no structures.", where="--out", fix="Name a .csv file.")
    surrogates = {name: surrogate_for(name, model) for name in names}
    if formula is None and ".csv" in file.suffixes and surrogates[names[0]].reads == "compositions":
        raise ConfigError(
            "a table holds no structures.", where=str(file), fix="Name its column of formulas: --formula."
        )
    if formula is not None:
        table = formula_table(file, formula, surrogates[names[0]])
        unread = dict.fromkeys(table["id"][table["mean"].isna()].map(str), "no readable formula")
        write_predictions(out, table)
    else:
        candidates = able = Candidates.from_file(file)
        for surrogate in surrogates.values():
            able = readable(able, surrogate)
        unread = (
            dict(zip(able.rejected["id"].map(str), able.rejected["reason"], strict=True)) if len(able.rejected) else {}
        )
        if csv:
            table = prediction_table(candidates, surrogates[names[0]])
            write_predictions(out, table)
        else:
            table = (able := predict(names, able, surrogates)).table
            write_structures(out, table, able.structures)
    first = surrogates[names[0]].prop
    about = {"unit": first.unit, "note": first.note} if len(names) == 1 else {}
    result = {"property": prop, **about, "rows": len(table), "in_domain": int(table[IN_DOMAIN].sum()), "out": str(out)}
    emit(result | ({"rejected": unread} if unread else {}), as_json)
