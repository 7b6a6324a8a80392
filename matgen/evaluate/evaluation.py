"""Metrics of generated structures, each named with its protocol; one that cannot be computed is listed as skipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from scipy.stats import wasserstein_distance

from matgen.data.candidates import Candidates
from matgen.data.readers.base import find_reader
from matgen.data.reading import read_content, settled
from matgen.data.structures import pack, read_structures, unpack
from matgen.data.symmetry import space_group
from matgen.errors import ConfigError, DataError
from matgen.evaluate.interval import wilson
from matgen.evaluate.novelty import first_of_kind, novelty
from matgen.evaluate.validity import compositional, structural
from matgen.execution import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.execution import Executor, Row

Task = Literal["dng", "csp"]
SIZES = ((1, 4), (5, 8), (9, 12), (13, 16), (17, 20))
STOL, LTOL, ANGLE_TOL = 0.5, 0.3, 10
"""Tolerances of the matcher in structure prediction, as in all published tables."""

SHARD = 50


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
        ConfigError: ``csp`` without a reference.
        DataError: Something cannot be read.
    """
    if task not in ("dng", "csp"):
        raise ConfigError(f"there is no task {task!r}.", where="task", fix="Use 'dng' or 'csp'.")
    made = generated if isinstance(generated, Candidates) else Candidates.from_file(generated)
    executor = executor or Pool()
    rows = executor.map(examine, _packed(made.structures), name="evaluate", shard=SHARD, seconds=60)
    table = made.table[[c for c in ("id", "material_id", "e_above_hull") if c in made.table]].assign(
        n_atoms=[len(s) for s in made.structures],
        structure_valid=[bool(row.get("structure_valid")) for row in rows],
        composition_valid=[bool(row.get("composition_valid")) for row in rows],
        space_group=[row.get("space_group") for row in rows],
    )
    metrics: dict[str, Any] = {"structures": len(made), **_validity(table)}
    if task == "csp":
        if reference is None:
            raise ConfigError("csp is measured against true structures.", where="reference", fix="Give --reference.")
        found, table = _csp(made, table, reference, executor)
    else:
        found = _dng(made, table, reference, executor)
    return metrics | found, table


def examine(items: Sequence[Row]) -> list[Row]:
    """Worker: validity and space group of packed structures."""
    structures = unpack(pd.DataFrame(list(items)))
    groups = [space_group(s, symprec=0.1) for s in structures]
    columns = zip(structural(structures).tolist(), compositional(structures).tolist(), groups, strict=True)
    return [{"structure_valid": s, "composition_valid": c, "space_group": g} for s, c, g in columns]


def match(items: Sequence[Row]) -> list[Row]:
    """Worker: root mean square distance of each pair by pymatgen's matcher, None where it does not match."""
    matcher = StructureMatcher(stol=STOL, ltol=LTOL, angle_tol=ANGLE_TOL)
    pairs = [unpack(pd.DataFrame([item["made"], item["true"]])) for item in items]
    found = [matcher.get_rms_dist(made, true) for made, true in pairs]
    return [{"rms": None if rms is None else float(rms[0])} for rms in found]


def read_reference(path: str | Path, executor: Executor) -> tuple[list[str], list[Structure]]:
    """Names and structures of a reference in any form that ``ingest`` reads; unreadable rows are an error."""
    try:
        folded = Path(path) / "structures.parquet"
        table, structures = read_structures(folded if folded.exists() else path)
        return table["material_id" if "material_id" in table else "id"].astype(str).tolist(), structures
    except DataError:
        records = list(find_reader(str(path)).read(str(path)))
    items = [{"format": r.format, "content": r.content} for r in records]
    rows = executor.map(read_rows, items, name="read the reference", shard=200, seconds=30)
    broken = [(r.row, row["error"]) for r, row in zip(records, rows, strict=True) if "error" in row]
    if broken:
        raise DataError(f"row {broken[0][0]} cannot be read: {broken[0][1]}", where=str(path))
    return [record.id or str(record.row) for record in records], unpack(pd.DataFrame(rows))


def read_rows(items: Sequence[Row]) -> list[Row]:
    """Worker: packed structures of raw rows."""
    return [_read(item) for item in items]


def _read(item: Row) -> Row:
    structure = read_content(item["format"], item["content"]).structure
    if structure is None:
        return {"error": "no structure"}
    return _packed([settled(structure)[0]])[0]


def _validity(table: pd.DataFrame) -> dict[str, Any]:
    both = table["structure_valid"] & table["composition_valid"]
    by_size = {
        f"{low}-{high}": _share(table["structure_valid"][table["n_atoms"].between(low, high)]) for low, high in SIZES
    }
    return {
        "structural_validity": _share(table["structure_valid"]),
        "composition_validity": _share(table["composition_valid"]),
        "validity": _share(both),
        "structural_validity_by_atoms": by_size,
    }


def _dng(made: Candidates, table: pd.DataFrame, reference: str | Path | None, executor: Executor) -> dict[str, Any]:
    valid = [s for s, ok in zip(made.structures, table["structure_valid"], strict=True) if ok]
    unique = [i == j for i, j in enumerate(first_of_kind(valid))]
    metrics: dict[str, Any] = {"uniqueness": _share(unique), "p1": _share(table["space_group"] == 1)}
    protocol = {
        "uniqueness": "StructureMatcher(), among structurally valid structures",
        "validity": "distances > 0.5 Å; smact, alloys pass",
        "p1": "space group by moyo at 0.1 Å",
    }
    skipped: dict[str, str] = {}
    ids = [f"{i}" for i in range(len(valid))]
    judged = novelty(Candidates(pd.DataFrame({"id": ids}), valid)) if valid else None
    if judged is not None:
        metrics["novelty"] = _share(judged.table["novel"])
        protocol["novelty"] = "fingerprints against the shipped Materials Project rows, among unique ones"
    metrics |= _distributions(valid, reference, executor, skipped)
    metrics |= _stable(made, skipped)
    return metrics | {"protocol": protocol, "skipped": skipped}


def _distributions(
    valid: Sequence[Structure], reference: str | Path | None, executor: Executor, skipped: dict[str, str]
) -> dict[str, Any]:
    if reference is None or not valid:
        skipped["wasserstein"] = "no reference was given" if reference is None else "no valid structure"
        return {}
    _, true = read_reference(reference, executor)
    density = wasserstein_distance([s.density for s in valid], [s.density for s in true])
    elements = wasserstein_distance([len(s.composition) for s in valid], [len(s.composition) for s in true])
    return {"wasserstein_density": round(float(density), 4), "wasserstein_elements": round(float(elements), 4)}


def _stable(made: Candidates, skipped: dict[str, str]) -> dict[str, Any]:
    if "e_above_hull" not in made.table:
        skipped["SUN, MSUN"] = "no e_above_hull; relax the structures and measure their hull distance first"
        return {}
    judged = novelty(made) if "novel" not in made.table else made
    energy = judged.table["e_above_hull"].to_numpy(dtype=float)
    new = judged.table["novel"].to_numpy(dtype=bool)
    potential = str(made.table["hull_reference"].iat[0]) if "hull_reference" in made.table else "reference not stated"
    name = f"({potential} hull, known by fingerprint, as submitted)"
    return {
        f"SUN@0 {name}": _share((energy <= 0) & new, len(made)),
        f"SUN@0.1 {name}": _share((energy <= 0.1) & new, len(made)),
    }


def _csp(
    made: Candidates, table: pd.DataFrame, reference: str | Path, executor: Executor
) -> tuple[dict[str, Any], pd.DataFrame]:
    names, true = read_reference(reference, executor)
    by_name = dict(zip(names, true, strict=True))
    asked = made.table["material_id" if "material_id" in made.table else "id"].astype(str)
    pairs = [(s, by_name.get(name)) for s, name in zip(made.structures, asked, strict=True)]
    items = [{"made": _packed([s])[0], "true": _packed([t])[0]} for s, t in pairs if t is not None]
    rows = executor.map(match, items, name="match", shard=20, seconds=60)
    results = iter(rows)
    rms = [next(results).get("rms") if t is not None else None for _, t in pairs]
    table = table.assign(rms=pd.array(rms, dtype="Float64"), has_reference=[t is not None for _, t in pairs])
    hit = table["rms"].notna().to_numpy()
    valid = (table["structure_valid"] & table["composition_valid"]).to_numpy()
    missing = len(set(names) - set(asked))
    return {
        "match_rate": _share(hit, len(names)),
        "match_rate_valid": _share(hit & valid, len(names)),
        "rmse": round(float(np.mean([r for r in rms if r is not None])), 4) if hit.any() else None,
        "reference": len(names),
        "without_answer": missing,
        "protocol": {
            "match": f"StructureMatcher(stol={STOL}, ltol={LTOL}, angle_tol={ANGLE_TOL})",
            "rmse": "mean over matches, normalised as pymatgen does; missing answers count as no match",
        },
        "skipped": {},
    }, table


def _share(values: Any, n: int | None = None) -> dict[str, Any]:
    hits, total = int(np.sum(np.asarray(values, dtype=bool))), len(values) if n is None else n
    low, high = wilson(hits, total)
    return {"share": round(hits / total, 4) if total else None, "interval": [round(low, 4), round(high, 4)], "n": total}


def _packed(structures: Sequence[Structure]) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in pd.DataFrame(pack(structures)).to_dict("records")]
