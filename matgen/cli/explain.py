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
    recipes: Annotated[Path | None, typer.Option(help="Reported syntheses, JSON lines.")] = None,
    attribute: Annotated[bool, typer.Option(help="Compute which elements drive the predictions.")] = True,
    as_json: Json = False,
) -> None:
    """Explain a candidate in a chemist's words; every sentence cites the run's records or a passage."""
    from matgen.assistant.explanation import explain
    from matgen.assistant.knowledge import open_index
    from matgen.assistant.recipes import Recipes

    known = Recipes.read(recipes) if recipes else None
    found = explain(run, candidate, index=open_index(corpus), recipes=known, attribute=attribute)
    text = "\n\n".join(f"{s.heading}\n{s.text}" for s in found.sections)
    own = [c.label for c in found.citations if c.document.startswith("run:")]
    papers = [c for c in found.citations if not c.document.startswith("run:")]
    sources = "\n".join([f"[{c.label}] {c.title}. {c.doi or c.document}" for c in papers])
    sources += f"\nRecords of the run, computed from its tables and structures: {_ranges(own)}"
    emit(found.as_dict(), as_json, f"{found.formula} ({found.candidate})\n\n{text}\n\n{sources}".replace("[", r"\["))


def _ranges(labels: list[int]) -> str:
    """Labels as ``[1]-[10], [13]``, runs joined."""
    runs: list[list[int]] = []
    for label in labels:
        if runs and label == runs[-1][-1] + 1:
            runs[-1].append(label)
        else:
            runs.append([label])
    return ", ".join(f"[{r[0]}]" if len(r) == 1 else f"[{r[0]}]-[{r[-1]}]" for r in runs)
