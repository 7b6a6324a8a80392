"""Structures from a generator, one for each point."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.data.candidates import Candidates
from matgen.errors import MatgenError
from matgen.generators.base import load_generator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.data.request import Request
    from matgen.execution import Executor
    from matgen.generators.base import Generator


def one_for_each(
    model: str,
    requests: Sequence[Request],
    ids: Sequence[str],
    config: Mapping[str, Any],
    executor: Executor,
    *,
    seeds: Sequence[int] | None = None,
    options: Sequence[Mapping[str, Any]] | None = None,
) -> Candidates:
    """The first structure that a generator gives for each request; where it gives none, a rejected row.

    Args:
        model: A shipped model, a generator, or a folder.
        requests: What is asked of each structure.
        ids: Of the candidates.
        config: Settings of a generator that is named without weights.
        executor: Where the generator runs.
        seeds: Of each structure; 0 where not given.
        options: How to sample each.
    """
    items = [
        {
            "model": model,
            "config": dict(config),
            "request": {**vars(request), "n": 1},
            "seed": seeds[i] if seeds else 0,
            "options": dict(options[i]) if options else {},
        }
        for i, request in enumerate(requests)
    ]
    rows = executor.map(draw, items, name=REALISE, shard=8)
    return gathered(ids, rows)


REALISE = "realise"
"""Stage of a point of which no structure could be made."""


def gathered(ids: Sequence[str], rows: Sequence[dict[str, Any]]) -> Candidates:
    """Candidates from packed structures; rows with an ``error`` are rejected, and keep a place holder."""
    from matgen.data.structures import formula_of, unpack

    structures = [unpack({k: [v] for k, v in row.items()})[0] if "error" not in row else _nothing() for row in rows]
    table = pd.DataFrame({"id": list(ids), "formula": [formula_of(s) for s in structures]})
    return Candidates(table, structures).reject(REALISE, [row.get("error") for row in rows])


def draw(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Worker: one packed structure for each item, or the reason why there is none."""
    return [_draw(item) for item in items]


def _draw(item: Mapping[str, Any]) -> dict[str, Any]:
    from matgen.data.request import Request
    from matgen.data.structures import from_batch, pack
    from matgen.runtime import Streams

    generator = loaded(item["model"], json.dumps(item["config"], sort_keys=True))
    try:
        batch = generator.sample(
            Request(**item["request"]), rng=Streams(item["seed"], generator.name), **item["options"]
        )
        return {name: values[0] for name, values in pack(from_batch(batch)).items()}
    except (MatgenError, ValueError) as error:
        return {"error": " ".join(str(error).split())}


@cache
def loaded(model: str, config: str = "{}") -> Generator:
    """One copy of a generator in each process, by name and settings as JSON."""
    return load_generator(model, **json.loads(config))


def _nothing() -> Structure:
    """Stands in the rejected rows, which need a structure, for one that could not be made."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice.cubic(10.0), ["H"], [[0, 0, 0]])
