"""``matgen corpus``: the documents that answers may cite."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from matgen.cli.console import Json, emit

app = typer.Typer(help="Add, list and remove the documents that answers may cite.", no_args_is_help=True)
Folder = Annotated[Path | None, typer.Option("--corpus", help="Corpus folder [default: $MATGEN_HOME/corpus].")]


@app.command()
def add(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files or folders: PDF, HTML, text, Markdown, BibTeX, RIS, JSONL of abstracts or recipes."),
    ],
    corpus: Folder = None,
    as_json: Json = False,
) -> None:
    """Read documents in; unchanged files are skipped and broken ones reported."""
    from matgen.assistant.knowledge import add_to_corpus

    emit(asdict(add_to_corpus(paths, corpus)), as_json)


@app.command(name="list")
def list_documents(corpus: Folder = None, as_json: Json = False) -> None:
    """Show what is in the corpus."""
    from matgen.assistant.corpus import Corpus, default_folder

    found = Corpus(corpus or default_folder())
    rows = [
        {"id": d.id, "title": d.title, "year": d.year, "kind": d.kind, "characters": len(d.text)}
        for d in found.documents
    ]
    recipes = {name: entry["recipes"] for name, entry in found.files.items() if entry.get("recipes")}
    lines = [f"{r['id']}  {r['year'] or '-'}  {r['title']}" for r in rows]
    lines += [f"{name}  {n} recipes" for name, n in recipes.items()]
    emit({"documents": rows, "recipes": recipes}, as_json, "\n".join(lines) or "empty")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A document's id, or a file whose documents or recipes should go.")],
    corpus: Folder = None,
    as_json: Json = False,
) -> None:
    """Remove a document, or all documents or recipes of a file."""
    from matgen.assistant.corpus import Corpus, default_folder

    emit({"removed": Corpus(corpus or default_folder()).remove(name)}, as_json)


@app.command()
def fetch(
    service: Annotated[str, typer.Argument(help="arxiv, crossref or openalex; the request leaves this machine.")],
    query: Annotated[str, typer.Argument(help="Words to search for.")],
    n: Annotated[int, typer.Option(help="Results at most.")] = 25,
    mail: Annotated[str, typer.Option(help="Contact for the service.")] = "",
    address: Annotated[str | None, typer.Option(help="A mirror with the same interface.")] = None,
    corpus: Folder = None,
    as_json: Json = False,
) -> None:
    """Search a literature service and add what it returns; the request is written to the audit log."""
    from matgen.assistant.knowledge import add_found
    from matgen.assistant.services import fetch as search

    found = search(service, query, n=n, address=address, mail=mail)
    emit(asdict(add_found(found, corpus)), as_json)
