"""Metrics of generated structures, each named with its protocol; one that cannot be computed is listed as skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from matgen.data.candidates import Candidates
from matgen.data.structures import unpack
from matgen.data.symmetry import space_group_number
from matgen.errors import ConfigError
from matgen.evaluate.de_novo import de_novo_metrics
from matgen.evaluate.interval import share
from matgen.evaluate.reference import packed, read_reference
from matgen.evaluate.structure_prediction import predict_metrics
from matgen.evaluate.validity import SCREENED, compositional, structural
from matgen.execution import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matgen.execution import Executor, Row

Task = Literal["dng", "csp"]
SIZES = ((1, 4), (5, 8), (9, 12), (13, 16), (17, 20))
SHARD = 50

PROTOCOL = {
    "structural_validity": "all distances, images included, above 0.5 Å and the cell above 0.1 Å³",
    "composition_validity": "smact, oxidation states of smact14, no mixed valence, alloys pass (as papers since CDVAE)",
    "composition_validity_icsd24": "smact 4, oxidation states of the ICSD of 2024, mixed valence, alloys pass",
    "validity": "structural_validity and composition_validity",
    "interval": "95 %: Wilson for shares, bootstrap otherwise",
}


def evaluate(
    generated: str | Path | Candidates,
    reference: str | Path | None = None,
    task: Task = "dng",
    *,
    executor: Executor | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure generated structures.

    Args:
        generated: Structures, or a file of them; for ``csp`` with ``material_id``.
        reference: True structures (``csp``) or those whose distributions are sought (``dng``): a structure file, a data
            set, or a table with ``material_id`` and ``cif``.
        task: ``dng`` for de novo generation, ``csp`` for structure prediction.
        executor: Where the work runs; a process pool by default.

    Returns:
        Metrics by name, with ``protocol`` and ``skipped``; and one row a structure.

    Raises:
        ConfigError: ``csp`` without a reference, or with one that names none of the structures.
        DataError: Something cannot be read.
    """
    if task not in ("dng", "csp"):
        raise ConfigError(f"there is no task {task!r}.", where="task", fix="Use 'dng' or 'csp'.")
    if task == "csp" and reference is None:
        raise ConfigError("csp is measured against true structures.", where="reference", fix="Give --reference.")
    made = generated if isinstance(generated, Candidates) else Candidates.from_file(generated)
    executor = executor or Pool()
    there = None if reference is None else read_reference(reference, executor)
    table = _examined(made, executor)
    if task == "csp" and there is not None:
        found, table = predict_metrics(made, table, there, executor)
    else:
        found, table = de_novo_metrics(made, table, there, executor)
    stated = {"task": task, "structures": len(made), "reference_name": there.name if there else None}
    return stated | _validity(table) | found | {"protocol": PROTOCOL | found["protocol"]}, table


def examine(items: Sequence[Row]) -> list[Row]:
    """Worker: validity and space group of packed structures."""
    structures = unpack(pd.DataFrame(list(items)))
    columns = {
        "structure_valid": structural(structures).tolist(),
        "composition_valid": compositional(structures).tolist(),
        "composition_valid_icsd24": compositional(structures, SCREENED).tolist(),
        "space_group": [space_group_number(structure) for structure in structures],
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _examined(made: Candidates, executor: Executor) -> pd.DataFrame:
    """One row a structure; one that cannot be examined is not valid."""
    rows = executor.map(examine, packed(made.structures), name="evaluate", shard=SHARD, seconds=60)
    kept = made.table[[name for name in ("id", "material_id", "e_above_hull") if name in made.table]]
    flags = ("structure_valid", "composition_valid", "composition_valid_icsd24")
    return kept.assign(
        formula=[s.composition.reduced_formula for s in made.structures],
        n_atoms=[len(s) for s in made.structures],
        **{name: [bool(row.get(name)) for row in rows] for name in flags},
        space_group=pd.array([row.get("space_group") for row in rows], dtype="Int64"),
        problem=[row.get("error") for row in rows],
    )


def _validity(table: pd.DataFrame) -> dict[str, Any]:
    valid = table["structure_valid"]
    return {
        "structural_validity": share(valid),
        "structural_validity_by_atoms": {
            f"{low}-{high}": share(valid[table["n_atoms"].between(low, high)]) for low, high in SIZES
        },
        "composition_validity": share(table["composition_valid"]),
        "composition_validity_icsd24": share(table["composition_valid_icsd24"]),
        "validity": share(valid & table["composition_valid"]),
    }
