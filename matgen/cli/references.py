"""``matgen references``: which chemical systems a reference table knows, and how well."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit


def verb(
    name: Annotated[str, typer.Argument(help="Shipped table, or path of one's own.")] = "chgnet-0.3.0",
    system: Annotated[str | None, typer.Option(help="Only this chemical system, e.g. Li-P-S, and its entries.")] = None,
    known: Annotated[
        Path | None, typer.Option(help="Table with a column of formulas that a complete table would have.")
    ] = None,
    formula: Annotated[str, typer.Option(help="Its column of formulas.")] = "formula",
    out: Annotated[Path | None, typer.Option(help="CSV file: one row a chemical system.")] = None,
    as_json: Json = False,
) -> None:
    """Count the chemical systems of a reference table: known, thin, and complete against a list of compounds."""
    from matgen.runtime import whole_file
    from matgen.stability.coverage import coverage, missing_formulas, summary
    from matgen.stability.references import load_reference

    table, formulas = load_reference(name), _formulas(known, formula)
    found = coverage(table, formulas)
    if out is not None:
        with whole_file(out) as temporary:
            found.to_csv(temporary, index=False)
    result: dict[str, Any] = {"reference": table.name, "entries": len(table.entries)}
    if system is not None:
        result |= _one(system, found, table)
    else:
        result["by_number_of_elements"] = summary(found).to_dict("records")
    if formulas is not None:
        result["missing_formulas"] = len(missing_formulas(table, formulas))
    emit(result, as_json, text=_text(result))


def _formulas(path: Path | None, column: str) -> list[str] | None:
    from matgen.surrogates.tables import read_column

    return None if path is None else read_column(path, column)


def _one(system: str, found: Any, table: Any) -> dict[str, Any]:
    symbols = sorted(system.split("-"))
    row = found[found["system"] == "-".join(symbols)].to_dict("records")
    entries = sorted({entry.name for entry in table.within(symbols)})
    return {"system": system, "entries_within": entries, **(row[0] if row else {"compounds": 0})}


def _text(result: dict[str, Any]) -> str:
    lines = []
    for key, value in result.items():
        if key == "by_number_of_elements":
            lines += [", ".join(f"{name} {number}" for name, number in row.items()) for row in value]
        else:
            lines.append(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return "\n".join(lines)
