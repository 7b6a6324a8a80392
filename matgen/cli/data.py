"""``matgen data``: raw data through the quality gate into a data set; look at it; split it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from matgen.cli.console import Json, emit

app = typer.Typer(help="Data in, through a quality gate; data cards; splits.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.")]
Pairs = list[str] | None


@app.command("ingest")
def ingest_verb(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="CSV, Parquet, CIF, POSCAR, extended XYZ, ASE database, pymatgen JSON, SMILES, SDF, a folder or zip "
            "of such, mp:Li-P-S, qm9pack:, or optimade:https://... Files named train, val and test become splits.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    reader: Annotated[str, typer.Option(help="Name of the reader, if the source does not tell.")] = "auto",
    rename: Annotated[Pairs, typer.Option(metavar="COLUMN=PROPERTY", help="Name a column's property.")] = None,
    unit: Annotated[Pairs, typer.Option(metavar="PROPERTY=UNIT", help="Unit of a property in the source.")] = None,
    require: Annotated[Pairs, typer.Option(metavar="PROPERTY", help="Refuse rows without this property.")] = None,
    duplicates: Annotated[
        Literal["quarantine", "flag", "ignore"], typer.Option(help="What happens to the same structure again.")
    ] = "quarantine",
    licence: Annotated[str, typer.Option(help="Licence of the data, for the card.")] = "",
    name: Annotated[str, typer.Option(help="Name of the data set.")] = "",
    seconds: Annotated[float, typer.Option(help="Time limit for one row.")] = 5.0,
    max_atoms: Annotated[int, typer.Option(help="Refuse larger structures.")] = 1000,
    max_volume: Annotated[float, typer.Option(help="Refuse crystals of more volume per atom, Å³.")] = 300.0,
    molecules: Annotated[
        Pairs,
        typer.Option(
            metavar="RULE=VALUE",
            help="Rules for molecules, as in salts=quarantine, charges=neutralise, tautomers=canonical, stereo=drop.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 is one for each core.")] = 0,
    refresh: Annotated[bool, typer.Option(help="Make it again although nothing changed.")] = False,
    json: Json = False,
) -> None:
    """Judge each row of a source: keep it, repair it, or quarantine it with a reason."""
    from matgen.data.ingest import WORKER_MEMORY, ingest, ingest_options
    from matgen.data.plausibility import Limits
    from matgen.execution import Pool

    options = ingest_options(
        reader=reader,
        rename=_pairs("--rename", rename),
        units=_pairs("--unit", unit),
        require=tuple(require or ()),
        duplicates=duplicates,
        licence=licence,
        name=name,
        seconds=seconds,
        limits={"atoms": max_atoms, "volume": (Limits.volume[0], max_volume)},
        molecules=_pairs("--molecules", molecules),
    )
    with Pool(workers, memory=WORKER_MEMORY) as pool:
        dataset = ingest(source, out, options, executor=pool, refresh=refresh)
    card = dataset.card
    result: dict[str, Any] = {
        "dataset": str(out),
        "rows_in": card["rows"]["in"],
        **{key: card["rows"][key] for key in ("kept", "quarantined", "repaired", "flagged")},
        "reasons": card["quarantine"],
        "properties": list(card["properties"]),
        "splits": card["splits"],
        "fingerprint": card["fingerprint"],
        "cached": dataset.cached,
    }
    reasons = [f"  {count:>8,}  {reason}" for reason, count in card["quarantine"].items()]
    head = f"{result['kept']:,} of {result['rows_in']:,} rows kept, {result['quarantined']:,} quarantined"
    emit(result, json, "\n".join([head + (" (cached)" if dataset.cached else ""), *reasons, f"{out}/card.md"]))


@app.command("show")
def show_verb(dataset: Folder, json: Json = False) -> None:
    """Show the card of a data set."""
    from rich.markdown import Markdown

    from matgen.cli.console import stdout
    from matgen.data.card import markdown
    from matgen.data.dataset import read_card

    card = read_card(dataset)
    if json:
        emit(card, as_json=True)
    else:
        stdout.print(Markdown(markdown(card)))


@app.command("split")
def split_verb(
    dataset: Folder,
    by: Annotated[
        Literal["random", "formula", "chemical_system", "scaffold", "time"],
        typer.Option(help="What must not lie in two splits; 'time' puts the youngest into test."),
    ] = "formula",
    fractions: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(min=0, help="Shuffles.")] = 0,
    column: Annotated[str | None, typer.Option(help="Column that says when, for 'time'.")] = None,
    out: Annotated[Path | None, typer.Option(help="Another folder; otherwise DATASET is rewritten.")] = None,
    json: Json = False,
) -> None:
    """Assign train, val and test; rows that resemble each other share a split, except when time decides."""
    from matgen.data.dataset import Dataset
    from matgen.data.splits import split
    from matgen.errors import ConfigError

    try:
        shares = tuple(float(share) for share in fractions.split(","))
    except ValueError as error:
        raise ConfigError(f"{fractions!r} are no numbers.", where="--fractions", fix="Give 0.8,0.1,0.1.") from error
    divided = split(Dataset.open(dataset), by, fractions=shares, seed=seed, column=column)
    divided.write(out or dataset)
    card = divided.card
    result = {
        "dataset": str(out or dataset),
        "by": by,
        "splits": card["splits"],
        "formulas_in_two_splits": card["formulas_in_two_splits"],
        "fingerprint": card["fingerprint"],
    }
    emit(result, json, ", ".join(f"{name}: {count:,}" for name, count in card["splits"].items()))


def _pairs(option: str, texts: Pairs) -> dict[str, str]:
    from matgen.errors import ConfigError

    pairs = [text.partition("=") for text in texts or ()]
    for (key, equals, value), text in zip(pairs, texts or (), strict=True):
        if not (key and equals and value):
            raise ConfigError(f"{text!r} has no form NAME=VALUE.", where=option)
    return {key.strip(): value.strip() for key, _, value in pairs}
