"""``matgen ask``: a question answered from the corpus, with citations."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Annotated

import typer

from matgen.cli.console import Json, emit

if TYPE_CHECKING:
    from matgen.assistant.document import Answer, Citation


def verb(
    question: Annotated[str, typer.Argument(help="The question, in plain words.")],
    corpus: Annotated[Path | None, typer.Option(help="Corpus folder [default: $MATGEN_HOME/corpus].")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder: ask about its candidates instead.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file that chooses a language model.")] = None,
    log: Annotated[Path | None, typer.Option(help="Append the answer's scores to this JSONL file.")] = None,
    as_json: Json = False,
) -> None:
    """Answer a question from the corpus, every sentence with a citation that was checked."""
    from matgen.assistant.asking import ask
    from matgen.assistant.knowledge import open_index

    if run is not None:
        from matgen.assistant.records import ask_run

        answer = ask_run(question, run)
    else:
        backend = None
        if config is not None:
            from matgen.assistant.backends import open_backend, read_config

            backend = open_backend(read_config(config))
        answer = ask(question, open_index(corpus), backend=backend)
    if log is not None:
        from matgen.assistant.monitoring import record

        record(log, question, answer)
    emit(answer.as_dict(), as_json, as_text(answer))


def as_text(answer: Answer) -> str:
    """The answer and its sources for a terminal; brackets are escaped because rich reads them as markup."""
    sources = [f"[{c.label}] {_author(c)}{c.title}. {c.doi or c.document}" for c in answer.citations]
    return "\n\n".join(filter(None, [answer.text, "\n".join(sources)])).replace("[", r"\[")


def _author(citation: Citation) -> str:
    """First author and year, where the source has them: records of a run have neither."""
    if not citation.authors:
        return ""
    return f"{citation.authors.split(',')[0]} ({citation.year or 'n.d.'}). "
