"""``matgen ask``: a question answered from the corpus, with citations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matgen.cli.console import Json, emit, stderr

if TYPE_CHECKING:
    from matgen.assistant.document import Answer, Citation
    from matgen.assistant.wishes import Wish

Log = Annotated[
    Path | None,
    typer.Option(help="JSONL file that gets the scores of each answer [default: $MATGEN_HOME/answers.jsonl]."),
]
NoLog = Annotated[bool, typer.Option("--no-log", help="Keep neither question nor scores.")]


def verb(
    question: Annotated[
        str, typer.Argument(help="A question, or a wish such as: 20 lead-free cubic oxides with a band gap of 2 eV.")
    ],
    corpus: Annotated[Path | None, typer.Option(help="Corpus folder [default: $MATGEN_HOME/corpus].")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder: ask about its candidates instead.")] = None,
    recipes: Annotated[
        Path | None,
        typer.Option(
            help="Reported syntheses, JSON lines, for questions how something is made [default: of the corpus]."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file that chooses a language model.")] = None,
    log: Log = None,
    no_log: NoLog = False,
    out: Annotated[Path | None, typer.Option(help="Where the structures of a wish go, once it is confirmed.")] = None,
    model: Annotated[str, typer.Option(help="Generator that a wish goes to.")] = "flow-mp20",
    seed: Annotated[int, typer.Option(help="Same seed, same structures.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm the wish beforehand.")] = False,
    as_json: Json = False,
) -> None:
    """Answer a question from the corpus, every sentence with a citation that was checked; or hear a wish.

    A wish is shown as it was understood. It runs only with --out and after a yes.
    """
    from matgen.assistant.wishes import is_wish

    if run is None and is_wish(question):
        _wish(question, model, out, seed, yes, as_json)
        return
    if run is not None:
        from matgen.assistant.records import ask_run

        answer = ask_run(question, run)
    else:
        from matgen.assistant.backends import open_backend, read_config
        from matgen.assistant.knowledge import open_index, open_recipes
        from matgen.assistant.routing import asks_how_made, route

        chosen = read_config(config)
        known = open_recipes(recipes, corpus) if asks_how_made(question) else None
        answer = route(question, open_index(corpus, chosen.ranking), recipes=known, backend=open_backend(chosen))
    emit(answer.as_dict(), as_json, as_text(answer))
    if not no_log:
        from matgen.assistant.monitoring import keep

        keep(question, answer, log)


def _wish(text: str, model: str, out: Path | None, seed: int, yes: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from matgen.assistant.fulfilment import fulfil, sample_command
    from matgen.assistant.wishes import parse_wish, spelled_out

    wish = parse_wish(text) if out is None else confirmed(text, yes)
    understood, command = spelled_out(wish), sample_command(wish, model, str(out or "candidates.extxyz"))
    shown = {**asdict(wish), "understood": understood, "command": command}
    if out is None:
        emit(shown, as_json, f"I understood: {understood}.\n\n{command}".replace("[", r"\["))
        return
    from matgen.data.structures import write_structures

    made = fulfil(wish, model, seed)
    write_structures(out, made.table, made.structures)
    numbers = {"structures": len(made), "rejected": len(made.rejected), "out": str(out)}
    emit({**shown, **numbers}, as_json, "\n".join(f"{k}: {v}" for k, v in numbers.items()))


def confirmed(text: str, yes: bool) -> Wish:
    """A wish after it was shown as understood and the user said yes, on the terminal or beforehand."""
    from matgen.assistant.wishes import parse_wish, spelled_out

    wish = parse_wish(text)
    stderr.print(f"I understood: {spelled_out(wish)}.", markup=False, soft_wrap=True)
    if not yes:
        typer.confirm("Is this what you want?", abort=True, err=True)
    return wish


def as_text(answer: Answer) -> str:
    """The answer and its sources for a terminal; brackets are escaped because rich reads them as markup."""
    sources = [f"[{c.label}] {_author(c)}{c.title}. {c.doi or c.document}" for c in answer.citations]
    return "\n\n".join(filter(None, [answer.text, "\n".join(sources)])).replace("[", r"\[")


def _author(citation: Citation) -> str:
    """First author and year, where the source has them: records of a run have neither."""
    if not citation.authors:
        return ""
    return f"{citation.authors.split(',')[0]} ({citation.year or 'n.d.'}). "
