"""``matgen fill``: what could sit on a site of a crystal."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    structure: Annotated[Path, typer.Argument(help="CIF, POSCAR or another structure file with one crystal.")],
    site: Annotated[int, typer.Option(help="Index of the atom, from 0.")],
    model: Annotated[str, typer.Option(help="Shipped or own masked transformer ('bert').")] = "bert-mp20",
    top: Annotated[int, typer.Option(help="Elements and letters to show.", min=1)] = 10,
    as_json: Json = False,
) -> None:
    """Rank the elements that could sit on a site and its equivalents, given all other atoms and the cell."""
    from matgen.data.structures import read_structures
    from matgen.errors import DataError
    from matgen.generators.filling import fill_site

    _, found = read_structures(structure)
    if len(found) != 1:
        raise DataError(f"{len(found)} structures instead of one.", where=str(structure))
    filled = fill_site(found[0], site, model)
    elements, letters = (table.head(top).to_dict("records") for table in (filled.elements, filled.letters))
    result = {
        "site": site,
        "equivalent_sites": list(filled.orbit),
        "space_group": filled.space_group,
        "elements": elements,
        "letters": letters,
    }
    lines = [
        f"{row['element']:>3} {row['probability']:.3f}{' (is there)' if row['is_there'] else ''}" for row in elements
    ]
    emit(result, as_json, text="\n".join(lines))
