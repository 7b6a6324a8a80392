"""``matgen chat``: questions in the terminal, one after another."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from matgen.cli.ask import Log, NoLog, as_text
from matgen.cli.console import stdout
from matgen.errors import MatgenError


def verb(
    run: Annotated[Path | None, typer.Option(help="A run folder: questions about candidates go to its table.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Corpus folder [default: $MATGEN_HOME/corpus].")] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="Reported syntheses, JSON lines [default: those of the corpus].")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file that chooses a language model.")] = None,
    log: Log = None,
    no_log: NoLog = False,
) -> None:
    """Ask in the terminal: the literature, the candidates of a run, or for new structures; an empty line ends."""
    from matgen.assistant.backends import open_backend, read_config
    from matgen.assistant.conversation import Conversation
    from matgen.assistant.knowledge import open_index, open_recipes
    from matgen.assistant.monitoring import keep

    chosen = read_config(config)
    index = open_index(corpus, chosen.ranking)
    conversation = Conversation(index, run, open_backend(chosen), open_recipes(recipes, corpus))
    while line := typer.prompt(">", default="", show_default=False, prompt_suffix=" ").strip():
        try:
            reply = conversation.reply(line)
        except MatgenError as error:
            stdout.print(str(error), markup=False)
            continue
        if reply.wish is not None:
            stdout.print(reply.text, markup=False)
            if typer.confirm("Is this what you want?"):
                stdout.print(reply.command, markup=False)
        elif reply.answer is not None:
            stdout.print(as_text(reply.answer))
            if not no_log:
                keep(line, reply.answer, log)
