"""``matgen explain``: why a candidate is proposed, what is known of its relatives, what speaks against it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.console import Json, emit


def verb(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    candidate: Annotated[str, typer.Argument(help="Id, rank or formula of a candidate.")],
    corpus: Annotated[Path | None, typer.Option(help="Corpus folder [default: $MATGEN_HOME/corpus].")] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="Reported syntheses, JSON lines [default: those of the corpus].")
    ] = None,
    attribute: Annotated[bool, typer.Option(help="Compute which elements drive the predictions.")] = True,
    as_json: Json = False,
) -> None:
    """Explain a candidate in a chemist's words; every sentence cites the run's records or a passage."""
    from matgen.assistant.explanation import explain, sources
    from matgen.assistant.knowledge import open_index, open_recipes

    known = open_recipes(recipes, corpus)
    found = explain(run, candidate, index=open_index(corpus), recipes=known, attribute=attribute)
    text = "\n\n".join(f"{s.heading}\n{s.text}" for s in found.sections)
    lines = "\n".join(sources(found))
    emit(found.as_dict(), as_json, f"{found.formula} ({found.candidate})\n\n{text}\n\n{lines}".replace("[", r"\["))
