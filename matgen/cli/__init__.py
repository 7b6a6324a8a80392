"""The command line: each verb is a few lines over a public function.

One module a verb; each defines a typer callback and is entered below. Heavy packages are imported inside the
verbs, so that ``matgen --help`` answers at once.
"""

from __future__ import annotations

import typer

from matgen.cli import (
    ask,
    calibrate,
    chat,
    compare,
    corpus,
    data,
    describe,
    doctor,
    evaluate,
    examine,
    explain,
    fill,
    hull,
    judge,
    mcp,
    monitor,
    optimize,
    predict,
    rank,
    references,
    relax,
    report,
    run,
    sample,
    screen,
    train,
    tune,
    validate,
)
from matgen.cli import list as listing
from matgen.cli.console import guarded

app = typer.Typer(
    name="matgen",
    help="Generative discovery of materials: data in, ranked and explained candidates out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("run")(run.verb)
app.command("sample")(sample.verb)
app.command("screen")(screen.verb)
app.command("fill")(fill.verb)
app.command("relax")(relax.verb)
app.command("hull")(hull.verb)
app.command("references")(references.verb)
app.command("examine")(examine.verb)
app.command("predict")(predict.verb)
app.command("validate")(validate.verb)
app.command("calibrate")(calibrate.verb)
app.command("rank")(rank.verb)
app.command("optimize")(optimize.verb)
app.command("tune")(tune.verb)
app.command("evaluate")(evaluate.verb)
app.command("compare")(compare.verb)
app.command("report")(report.verb)
app.command("list")(listing.verb)
app.command("describe")(describe.verb)
app.command("doctor")(doctor.verb)
app.command("ask")(ask.verb)
app.command("mcp")(mcp.verb)
app.command("chat")(chat.verb)
app.command("monitor")(monitor.verb)
app.command("judge")(judge.verb)
app.command("explain")(explain.verb)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(corpus.app, name="corpus")


def main() -> None:
    """Entry point of the ``matgen`` command."""
    guarded(app)
