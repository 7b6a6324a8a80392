"""From files or a web interface to a judged data set: read, keep or repair or refuse each row, write a card."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matgen.data.card import make_card
from matgen.data.dataset import CARD, Dataset, content_fingerprint, read_card
from matgen.data.gate import GATE_VERSION
from matgen.data.intake import Intake, take_in
from matgen.data.labels import Labels, implausible, outliers, read_labels
from matgen.data.molecule_gate import MoleculeRules
from matgen.data.molecule_rows import check_one_kind, resolve_molecules
from matgen.data.plausibility import Limits
from matgen.data.readers.base import READERS
from matgen.data.resolution import KEPT_FIRST, resolve_duplicates
from matgen.data.structures import STRUCTURE_COLUMNS
from matgen.errors import ConfigError, DataError, MatgenError, did_you_mean
from matgen.execution import Pool
from matgen.runtime import content_id, file_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matgen.execution import Executor

log = logging.getLogger(__name__)

WORKER_MEMORY = 4.0
"""GiB for one worker that reads untrusted content."""


class IngestOptions(BaseModel):
    """What the gate is asked to do.

    Args:
        reader: Name of the reader; ``auto`` finds it by the name and the first bytes of the source.
        rename: Property names for columns, as in ``{"target": "band_gap"}``.
        units: Units of properties where the source has others than assumed, as in ``{"e_form": "eV/cell"}``.
        require: Properties without which a row is refused.
        duplicates: ``quarantine`` all but one of the rows with the same structure, only ``flag`` them, or ``ignore``
            them (nothing is compared).
        licence: Licence of the data, for the card.
        name: Name of the data set; the source's if not given.
        seconds: Time limit for one row.
        limits: What still counts as matter.
        molecules: What is done with salts, charges, tautomers, stereochemistry, radicals and isotopes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reader: str = "auto"
    rename: dict[str, str] = {}
    units: dict[str, str] = {}
    require: tuple[str, ...] = ()
    duplicates: Literal["quarantine", "flag", "ignore"] = "quarantine"
    licence: str = ""
    name: str = ""
    seconds: float = Field(default=5.0, gt=0)
    limits: Limits = Limits()
    molecules: MoleculeRules = MoleculeRules()


def ingest_options(**settings: Any) -> IngestOptions:
    """Options from plain values, or a ConfigError that names the setting that is wrong."""
    try:
        return IngestOptions(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        fix = did_you_mean(where, IngestOptions.model_fields) if first["type"] == "extra_forbidden" else None
        raise ConfigError(f"{first['msg']}.", where=where, fix=fix) from error


def ingest(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    options: IngestOptions | None = None,
    *,
    executor: Executor | None = None,
    refresh: bool = False,
) -> Dataset:
    """Make a data set of a source, or open the one made of it before.

    Args:
        source: File, folder, archive, database, ``mp:...`` or ``optimade:...``; or several of them, of which those
            named train, val and test become splits.
        out: Folder of the data set.
        options: What the gate is asked to do.
        executor: Judges rows and compares structures; a process pool if not given.
        refresh: Make it again although nothing changed, for example to ask a web interface anew.

    Returns:
        The data set. Its ``table`` and ``quarantine`` together have as many rows as the source.

    Raises:
        DataError: The source as a whole cannot be read.
        ConfigError: The options make no sense, or ``out`` holds something else than a data set.
    """
    options, out = options or IngestOptions(), Path(out)
    names = [str(s) for s in ([source] if isinstance(source, str | Path) else source)]
    _check_place(out)
    sources = [_identity(name) for name in names]
    key = _cache_key(sources, options)
    if not refresh and (out / CARD).is_file() and read_card(out).get("cache_key") == key:
        log.info("cached: %s is already made of this source with these options", out)
        dataset = Dataset.open(out)
        dataset.cached = True
        return dataset
    with Pool(memory=WORKER_MEMORY) as pool:
        intake, labels = _pass_gate(names, options, executor or pool)
    dataset = _dataset(intake, labels, sources, options, key)
    dataset.write(out)
    if not len(dataset):
        log.warning("no row passed the gate; the reasons are in %s", out)
    return dataset


def _pass_gate(names: Sequence[str], options: IngestOptions, executor: Executor) -> tuple[Intake, Labels]:
    intake = take_in(names, options.reader, options.limits, options.seconds, executor, options.molecules)
    if not len(intake):
        raise DataError("the source holds no rows.", where=", ".join(names))
    if intake.has_molecules:
        check_one_kind(intake, ", ".join(names))
    labels = read_labels(
        intake.values,
        intake.table["n_atoms"].to_numpy(),
        rename=options.rename,
        units=options.units,
        require=options.require,
    )
    for note, more in zip(intake.notes, labels.notes, strict=True):
        note += more
    _check_targets(intake, labels.table, options.require)
    _check_ids(intake)
    intake.table["group"] = np.arange(len(intake))
    if intake.has_molecules:
        intake.table["group"] = resolve_molecules(intake, labels.table, options.duplicates)
    elif options.duplicates != "ignore" and intake.has_structures:
        intake.table["group"] = resolve_duplicates(intake, labels.table, executor, options.duplicates)
    _flag_outliers(intake, labels.table)
    return intake, labels


def _check_targets(intake: Intake, labels: pd.DataFrame, require: Sequence[str]) -> None:
    """Refuse rows without a wanted value, and rows with a value that cannot be."""
    for name in require:
        for position in np.flatnonzero(labels[name].isna().to_numpy()):
            intake.refuse(int(position), "targets", f"missing target: no finite {name}")
    for name in labels:
        values = labels[name].to_numpy()
        for position in np.flatnonzero(implausible(str(name), values)):
            text = f"implausible target: {name} = {values[position]:.6g}, perhaps in another unit"
            intake.refuse(int(position), "targets", text)


def _check_ids(intake: Intake) -> None:
    """Refuse all but one of the rows that share an id; of several splits the one stays that is judged by."""
    table = intake.table.iloc[intake.inside]
    repeated = table[table["id"].duplicated(keep=False)]
    preference = repeated["split"].map(KEPT_FIRST).fillna(len(KEPT_FIRST))
    for _, same in repeated.loc[preference.sort_values(kind="stable").index].groupby("id", sort=False):
        kept, *others = same.to_dict("records")
        for position, other in zip(same.index[1:], others, strict=True):
            if kept["split"] != other["split"]:
                intake.refuse(position, "leakage", f"leakage: its id also occurs in split {kept['split']}")
            else:
                place = f"{kept['source']}, row {kept['row']}"
                intake.refuse(position, "ids", f"id repeats: {other['id']} is already {place}")


def _flag_outliers(intake: Intake, labels: pd.DataFrame) -> None:
    inside = intake.inside
    for name in labels:
        for position in inside[outliers(labels[name].to_numpy()[inside])]:
            intake.flags[position].append(f"outlier in {name}")


def _dataset(
    intake: Intake, labels: Labels, sources: Sequence[dict[str, Any]], options: IngestOptions, key: str
) -> Dataset:
    """Kept and refused rows, with their card."""
    described = pd.concat([intake.table, labels.table, labels.times], axis=1)
    described["flags"], described["notes"] = intake.flags, intake.notes
    inside = intake.inside
    outside = np.setdiff1d(np.arange(len(intake)), inside)
    kept = described.iloc[inside].reset_index(drop=True)
    refused = described.iloc[outside].reset_index(drop=True)
    if len(kept) + len(refused) != len(intake) or refused["reason"].isna().any():
        raise MatgenError(f"{len(intake)} rows in, but {len(kept)} kept and {len(refused)} quarantined.")
    first = ["id", "source_id", "source", "row", "formula"]
    geometry = ["n_atoms", "space_group", "volume_per_atom", "density", "group"] if intake.has_structures else []
    geometry = ["smiles", "inchikey", "n_atoms", "group"] if intake.has_molecules else geometry
    values = [*map(str, labels.table), *map(str, labels.times)]
    table = kept[[*first, *geometry, "split", *values, "flags", "notes"]].astype(_types(geometry))
    packed = kept[list(STRUCTURE_COLUMNS)] if intake.has_structures else None
    settings = {
        "name": options.name or ", ".join(s["name"] for s in sources),
        "licence": options.licence,
        "fingerprint": content_fingerprint(table, packed),
        "cache_key": key,
        "rules": options.model_dump(mode="json", exclude={"name", "licence"}),
    }
    quarantine = refused[["row", "source", "source_id", "stage", "reason", "raw"]]
    card = make_card(table, quarantine, about=labels.about, sources=sources, settings=settings, ignored=labels.ignored)
    return Dataset(table, packed, quarantine, card)


def _types(geometry: Sequence[str]) -> dict[str, str]:
    whole = {"n_atoms": "int64", "space_group": "Int64", "group": "int64"}
    real = {"volume_per_atom": "float64", "density": "float64"}
    return {name: kind for name, kind in {**whole, **real}.items() if name in geometry}


def _check_place(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / CARD).is_file()):
        raise ConfigError(
            "this place holds something else than a data set.", where=str(out), fix="Name a new folder with --out."
        )


def _identity(name: str) -> dict[str, Any]:
    """What tells one source from another: the address, or the contents of its files."""
    if any(reader.scheme and name.startswith(f"{reader.scheme}:") for _, reader in READERS):
        return {"name": name}
    path = Path(name)
    if not path.exists():
        raise DataError("no such file or folder.", where=name, fix="Check the path.")
    if path.is_file():
        return {"name": path.name, "bytes": path.stat().st_size, "hash": file_id(path)}
    files = list(_files(path))
    return {
        "name": path.resolve().name,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "hash": content_id([[file.relative_to(path).as_posix(), file_id(file)] for file in files], length=16),
    }


def _files(path: Path) -> Iterator[Path]:
    return (file for file in sorted(path.rglob("*")) if file.is_file())


def _cache_key(sources: Sequence[dict[str, Any]], options: IngestOptions) -> str:
    asked = options.model_dump(mode="json")
    return content_id(list(sources), asked, GATE_VERSION, version("pymatgen"), length=16)
