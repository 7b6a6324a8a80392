"""Training a generator on a data set, from a table of structures to a folder with weights and card."""

from __future__ import annotations

import logging
import platform
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from matgen.data.batches import TrainingSet
from matgen.data.structures import read_structures
from matgen.errors import ConfigError, DataError
from matgen.generators.base import GENERATORS, load_generator
from matgen.runtime import versions
from matgen.training import Training, fit, losses_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from pymatgen.core import Structure

    from matgen.generators.base import Generator

log = logging.getLogger(__name__)


def train(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    generator: str = "flow",
    config: Mapping[str, Any] | None = None,
    settings: Training | None = None,
    max_atoms: int = 20,
    exclude: str | Path | None = None,
    validation: float = 0.02,
    half: bool = False,
    start_from: str | Path | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Generator:
    """Train a generator; the same call on the same folder goes on where it stopped.

    Args:
        data: Ingested data sets or structure files. Structures that occur in several by ``id`` count once.
        out: Folder for ``weights.safetensors``, ``card.json``, ``metrics.jsonl`` and the checkpoint.
        generator: Registry name.
        config: Settings of the generator.
        settings: Of the training loop.
        max_atoms: Larger cells are left out.
        exclude: A data set whose ids must not be learned from, for example a test split.
        validation: Share of the structures that is held out for the validation loss.
        half: Store the weights in half precision.
        start_from: A trained generator, by name or folder, whose weights this one starts from where name and shape
            agree; the rest starts anew.
        facts: Join the card: licence of the data, intended use, limits.
        progress: Called after each step with (step, steps, losses).

    Returns:
        The trained generator, with averaged weights.
    """
    settings = settings or Training()
    kind = GENERATORS.get(generator)
    # The weights a training starts from are drawn under a seed of their own, without touching the caller's stream.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = kind(**{**dict(config or {}), "max_atoms": max_atoms})
    table, everything = model.gather([data] if isinstance(data, str | Path) else data, exclude)
    held_out, learned = everything.split(validation, np.random.default_rng(0))
    model.prepare(learned)
    start = {"start_from": start_weights(model, start_from)} if start_from is not None else {}
    log.info("training on %d structures, %d held out", len(learned), len(held_out))
    average = fit(model, learned, out, settings, held_out, progress)
    average.finish(learned, torch.Generator().manual_seed(settings.seed))
    known = _facts(data, table, learned, held_out, settings, exclude, Path(out))
    average.save(out, half=half, **known, **start, **dict(facts or {}))
    return average


def start_weights(model: Generator, source: str | Path) -> dict[str, Any]:
    """Copy the parameters that agree in name and shape from a trained generator; returns what the card says of it.

    Raises:
        ConfigError: None agrees.
    """
    parent = load_generator(source)
    theirs, ours = dict(parent.named_parameters()), dict(model.named_parameters())
    common = [name for name, value in ours.items() if name in theirs and theirs[name].shape == value.shape]
    if not common:
        raise ConfigError(f"{str(source)!r} shares no weights with {model.name!r}.", where="start_from")
    with torch.no_grad():
        for name in common:
            ours[name].copy_(theirs[name])
    share = sum(ours[name].numel() for name in common) / sum(value.numel() for value in ours.values())
    return {"model": Path(source).name, "fingerprint": parent.fingerprint, "share_of_weights": round(share, 3)}


def gather_structures(
    data: Sequence[str | Path], exclude: str | Path | None, max_atoms: int, targets: Sequence[str]
) -> tuple[pd.DataFrame, TrainingSet]:
    """Rows and tensors of all structures that may be learned from; arguments as of :func:`eligible_structures`."""
    table, structures = eligible_structures(data, exclude, max_atoms, targets)
    return table, TrainingSet.build(structures, {name: table[name] for name in targets})


def eligible_structures(
    data: Sequence[str | Path], exclude: str | Path | None, max_atoms: int, targets: Sequence[str]
) -> tuple[pd.DataFrame, list[Structure]]:
    """All structures that may be learned from, sorted by id so that the order of the sources does not matter.

    Args:
        data: Ingested data sets or structure files.
        exclude: A data set whose ids must not be learned from.
        max_atoms: Larger cells are left out.
        targets: Columns that the tables must have.
    """
    import pandas as pd

    parts = [_read(source) for source in data]
    table = pd.concat([part for part, _ in parts], ignore_index=True)
    structures = [structure for _, part in parts for structure in part]
    forbidden = set(_read(exclude)[0]["id"]) if exclude is not None else set()
    first = ~table["id"].duplicated()
    keep = [
        i
        for i, (name, new) in enumerate(zip(table["id"], first, strict=True))
        if new and name not in forbidden and len(structures[i]) <= max_atoms
    ]
    if not keep:
        raise DataError(f"no structure of at most {max_atoms} atoms is left to learn from.", where=str(list(data)))
    keep.sort(key=lambda i: table["id"][i])
    table = table.iloc[keep].reset_index(drop=True)
    absent = [name for name in targets if name not in table]
    if absent:
        raise ConfigError(f"the data have no column {', '.join(absent)}.", where="targets")
    return table, [structures[i] for i in keep]


def _read(source: str | Path) -> tuple[pd.DataFrame, list[Structure]]:
    path = Path(source)
    folded = path / "structures.parquet"
    return read_structures(folded if folded.exists() else path)


def _facts(
    data: str | Path | Sequence[str | Path],
    table: pd.DataFrame,
    learned: TrainingSet,
    held_out: TrainingSet,
    settings: Training,
    exclude: str | Path | None,
    out: Path,
) -> dict[str, Any]:
    last = losses_recorded(out)
    sources = [data] if isinstance(data, str | Path) else list(data)
    return {
        "data": {
            "sources": [Path(source).name for source in sources],
            "rows": len(table),
            "learned": len(learned),
            "held_out": len(held_out),
            "excluded": Path(exclude).name if exclude is not None else None,
            **table.attrs,
        },
        "training": asdict(settings),
        "minutes": round(last.get("seconds", 0.0) / 60, 1),
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        "date": date.today().isoformat(),
        "losses": {name: value for name, value in last.items() if name.startswith("validation_")},
        "versions": versions(),
    }
