"""``matgen predict``: a property with its uncertainty for each structure of a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    prop: Annotated[str, typer.Argument(metavar="PROPERTY", help="Name of the property, e.g. band_gap.")],
    file: Annotated[Path, typer.Argument(help="Structures: .extxyz, .parquet, .cif, .db or a folder of CIFs.")],
    out: Annotated[Path, typer.Option(help="CSV file: id, formula, mean, std, in_domain, domain_distance.")],
    model: Annotated[
        str | None, typer.Option(help="Name of a shipped model or folder of one's own; default: the shipped one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict a property with its uncertainty, and say whether the model knows such structures."""
    from matgen.data.candidates import Candidates
    from matgen.surrogates.prediction import prediction_table, surrogate_for, write_predictions

    surrogate = surrogate_for(prop, model)
    table = prediction_table(Candidates.from_file(file), surrogate)
    write_predictions(out, table)
    result = {"property": prop, "unit": surrogate.prop.unit, "note": surrogate.prop.note, "rows": len(table)}
    emit(result | {"in_domain": int(table["in_domain"].sum()), "out": str(out)}, as_json)
