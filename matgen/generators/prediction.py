"""Crystal structure prediction: one structure for each composition of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matgen.data.readers.base import find_reader
from matgen.data.reading import read_content
from matgen.data.request import Request
from matgen.errors import ConfigError, DataError
from matgen.execution import Pool
from matgen.generators.sampling import sample_each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row


def predict_structures(
    model: str | Path,
    data: str | Path,
    seed: int = 0,
    *,
    config: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    answers: int = 1,
    executor: Executor | None = None,
) -> Candidates:
    """One structure for each row of a table; of a row's structure only the composition of its cell is used.

    Args:
        model: As for :func:`matgen.generators.sampling.sample`; it must honour ``formula``.
        data: A table with ``material_id`` and a ``cif`` or ``formula`` column, or any source that ``ingest`` reads.
        seed: As for ``sample``.
        config: As for ``sample``.
        options: As for ``sample``.
        answers: Structures for each row.
        executor: As for ``sample``.

    Returns:
        Candidates with ``material_id``.

    Raises:
        DataError: A row has no readable composition; the message names the first such row and their number.
    """
    executor = executor or Pool()
    records = list(find_reader(str(data)).read(str(data)))
    items = [{"format": r.format, "content": r.content, "problem": r.problem} for r in records]
    rows = executor.map(cell_contents, items, name="read compositions", shard=200, seconds=30)
    broken = [(r.row, row["error"]) for r, row in zip(records, rows, strict=True) if "error" in row]
    if broken:
        raise DataError(
            f"{len(broken)} of {len(rows)} rows have no readable composition; row {broken[0][0]}: {broken[0][1]}",
            where=str(data),
            fix="Ingest the table first ('matgen data ingest') and predict for what it keeps.",
        )
    ids = [record.id or str(record.row) for record in records]
    requests = [Request(formula=row["formula"], n_atoms=row["n_atoms"]) for row in rows]
    return sample_each(model, requests, ids, seed, config=config, options=options, answers=answers, executor=executor)


def cell_contents(items: Sequence[Row]) -> list[Row]:
    """Worker: formula and number of atoms of each cell, or why there is none."""
    return [_contents(item) for item in items]


def _contents(item: Row) -> Row:
    if item["problem"]:
        return {"error": item["problem"]}
    try:
        composition = read_content(item["format"], item["content"]).composition
        formula = composition.formula.replace(" ", "")
        request = Request(formula=formula)  # refuses fractional amounts
        return {"formula": request.formula, "n_atoms": round(composition.num_atoms)}
    except (DataError, ConfigError) as error:
        return {"error": str(error)}
