"""Molecules as a plain table of SMILES: sampling without structures, for tens of thousands at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.constraints.specification import Spec, build_constraints, specify
from matgen.data.request import Request
from matgen.errors import ConfigError, MatgenError
from matgen.execution import Pool
from matgen.generators.base import load_generator
from matgen.generators.language import MoleculeLanguage
from matgen.generators.latent import LatentGenerator
from matgen.runtime import Streams, content_id, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matgen.execution import Executor, Row

TABLES = (".csv", ".smi")
"""File names of tables of SMILES."""


def sample_smiles(
    model: str | Path,
    n: int = 100,
    seed: int = 0,
    *,
    target: Mapping[str, float] | None = None,
    constraints: Sequence[Spec] = (),
    options: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
    **asked: Any,
) -> pd.DataFrame:
    """The same molecules as :func:`matgen.generators.sampling.sample` gives, without coordinates.

    Args:
        model: Name or folder of a trained generator that writes molecules.
        n: How many.
        seed: Molecule ``i`` depends on the model, the seed and ``i`` only.
        target: Wanted property values by property name.
        constraints: ``elements`` acts while a molecule is written.
        options: ``temperature``, ``top_k``, ``top_p``, ``fragment``, ``linker_atoms``; see :class:`MoleculeLanguage`.
        executor: Where to run; a process pool by default.
        asked: Further fields of the request, which no generator of SMILES honours so far.

    Returns:
        A table with ``id``, canonical ``smiles``, ``generator``, ``seed`` and ``index``.

    Raises:
        ConfigError: The generator writes no SMILES, or cannot honour what is asked.
    """
    generator = _language(model)
    request = Request(n, target=dict(target or {}), **asked)
    request.require_honoured_by(generator.conditions, generator.name)
    masks = [specify(constraint) for constraint in build_constraints(constraints, role="mask")]
    shared = {"model": str(model), "seed": seed, "constraints": masks, "options": dict(options or {})}
    items = [
        {**shared, "start": start, "requests": [asdict(request) | {"n": 1}] * min(generator.chunk, n - start)}
        for start in range(0, n, generator.chunk)
    ]
    texts: list[str] = []
    for row in (executor or Pool()).map(draw_smiles, items, name="sample", shard=1):
        if "refused" in row:
            what, where, fix = row["refused"]
            raise ConfigError(what, where=where, fix=fix)
        if "error" in row:
            raise MatgenError(f"sampling failed: {row['error']}")
        texts += row["smiles"]
    ids = [content_id(generator.fingerprint, seed, i) for i in range(n)]
    return pd.DataFrame({"id": ids, "smiles": texts, "generator": Path(model).name, "seed": seed, "index": range(n)})


def draw_smiles(items: Sequence[Row]) -> list[Row]:
    """Worker: the SMILES of each chunk."""
    return [_draw(item) for item in items]


def write_smiles(path: str | Path, table: pd.DataFrame) -> None:
    """Write ``.csv`` with all columns, or ``.smi`` with one SMILES and its id a line."""
    with whole_file(path) as temporary:
        if Path(path).suffix == ".smi":
            lines = [f"{smiles} {name}\n" for smiles, name in zip(table["smiles"], table["id"], strict=True)]
            temporary.write_text("".join(lines), encoding="utf-8")
        else:
            table.to_csv(temporary, index=False)


def _draw(item: Row) -> Row:
    generator = _language(item["model"])
    constraints = build_constraints(item["constraints"], role="mask")
    requests = [Request(**request) for request in item["requests"]]
    rng = Streams(item["seed"], generator.name, item["start"])
    try:
        texts = generator.sample_smiles(requests, rng=rng, constraints=constraints, **item["options"])
    except ConfigError as error:
        return {"refused": [error.what, error.where, error.fix]}
    return {"smiles": texts}


def _language(model: str | Path) -> MoleculeLanguage | LatentGenerator:
    generator = load_generator(model)
    if isinstance(generator, MoleculeLanguage) or (
        isinstance(generator, LatentGenerator) and generator.proposes == "molecules"
    ):
        return generator
    raise ConfigError(
        f"{str(model)!r} writes no SMILES.", where="model", fix="Use 'smiles-moses', or write structures."
    )
