"""``matgen mcp``: a read-only server for other assistants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def verb(
    root: Annotated[Path, typer.Option(help="Folder below which runs may be read.")] = Path("runs"),
    corpus: Annotated[Path | None, typer.Option(help="Corpus folder [default: $MATGEN_HOME/corpus].")] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="Reported syntheses, JSON lines [default: those of the corpus].")
    ] = None,
) -> None:
    """Serve the assistant's read-only tools over standard input and output (Model Context Protocol)."""
    from matgen.assistant.knowledge import open_index, open_recipes
    from matgen.assistant.mcp_server import ReadOnly, build_server

    build_server(ReadOnly(open_index(corpus), root, open_recipes(recipes, corpus))).run("stdio")
