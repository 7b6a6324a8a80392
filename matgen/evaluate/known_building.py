"""Build the table of known structures that comes with matgen, and measure how often it agrees with the matcher.

    python -m matgen.evaluate.known_building MP-POOL MP20-TEST

where each argument is an ingested data set or a structure file. The table holds formulas, space groups and
fingerprints, no structures and no identifiers.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.structures import pack, read_structures
from matgen.evaluate.fingerprint import STEP, apart
from matgen.evaluate.known import COLUMNS, DISTORTED, SHIPPED, TOLERANCE, counterparts, describe_rows, dissimilarity
from matgen.evaluate.novelty import SECONDS, confirm, describe_all
from matgen.execution import Pool
from matgen.runtime import whole_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.execution import Executor, Row

Pair = tuple["Structure", "Structure"]

PAIRS = 1500
"""Pairs of each kind on which the agreement with the matcher is measured."""

LARGEST = 40
"""Atoms in the structures of those pairs; the matcher takes long on more."""


def build(sources: Sequence[str], out: Path = SHIPPED) -> dict[str, Any]:
    """Write the table and its card; returns the card."""
    structures = [s for source in sources for s in _structures(Path(source))]
    with Pool() as pool:
        items = pd.DataFrame(pack(structures)).to_dict("records")
        rows = pool.map(describe_rows, items, name="fingerprints", shard=200)
        agreed = agreement(structures, pool)
    whole = [row for row in rows if "error" not in row]
    table = compact(pd.DataFrame(whole, columns=list(COLUMNS)))
    with whole_file(out) as temporary:
        table.sort_values("formula", kind="stable").to_parquet(temporary, index=False, compression="zstd")
    card = {
        "what": "Formula, symmetry (0.1 Å) and fingerprints of known structures; no structures, no identifiers",
        "sources": [Path(source).name for source in sources],
        "data": "Materials Project structures of MP-20 (val, test, a part of train) and MPTS-52 (val, test), CC BY 4.0",
        "rows": len(table),
        "failed": len(rows) - len(whole),
        "tolerance": TOLERANCE,
        "tolerance_where_primitive_cells_differ_in_size": DISTORTED,
        "agreement": agreed,
        "date": date.today().isoformat(),
    }
    write_json(out.with_suffix(".card.json"), card)
    return card


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """The same table in small whole numbers."""
    vectors = {name: [np.array(v, dtype=np.uint8) for v in table[name]] for name in ("fingerprint", "shape")}
    return table.astype({"space_group": np.uint8, "n_primitive": np.uint16}).assign(**vectors)


def agreement(structures: Sequence[Structure], executor: Executor, seed: int = 0) -> dict[str, Any]:
    """How often the fingerprints and ``StructureMatcher()`` agree on whether two structures are the same.

    Three kinds of pairs: known structures of one formula (polymorphs, which the matcher has told apart before); a
    known structure and another compound's structure filled with its elements, as a generator would propose it; and
    a structure and its copy with atoms displaced by 0.05 Å and a cell strained by 2 % (standard deviations).

    Returns:
        For each kind the number of pairs, how many the matcher calls the same, and how often the fingerprints call
        those the same, and the others.
    """
    rng = np.random.default_rng(seed)
    small = [s for s in structures if len(s) <= LARGEST]
    kinds = {
        "polymorphs": polymorphs(small, rng),
        "substituted": substituted(small, rng),
        "distorted": [(small[i], distorted(small[i], rng)) for i in _some(len(small), rng)],
    }
    return {kind: _confusion(pairs, executor) for kind, pairs in kinds.items()}


def polymorphs(structures: Sequence[Structure], rng: np.random.Generator) -> list[Pair]:
    """Pairs of structures with one formula."""
    formulas: dict[str, list[int]] = defaultdict(list)
    for i, structure in enumerate(structures):
        formulas[structure.composition.reduced_formula].append(i)
    pairs = [(i, j) for members in formulas.values() for k, i in enumerate(members) for j in members[:k]]
    return [(structures[i], structures[j]) for i, j in (pairs[k] for k in _some(len(pairs), rng))]


def substituted(structures: Sequence[Structure], rng: np.random.Generator, choices: int = 60) -> list[Pair]:
    """Known structures, each with the structure of a similar compound that was given its elements and volume."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, structure in enumerate(structures):
        kinds[structure.composition.anonymized_formula].append(i)
    pairs = []
    for i in _some(len(structures), rng):
        known = structures[i]
        formula = known.composition.reduced_formula
        others = [structures[j] for j in rng.permutation(kinds[known.composition.anonymized_formula])[:choices]]
        others = [s for s in others if s.composition.reduced_formula != formula]
        if others:
            template = min(others, key=lambda s: dissimilarity(formula, s.composition.reduced_formula))
            pairs.append((known, filled(template, known)))
    return pairs


def filled(template: Structure, target: Structure) -> Structure:
    """The template with the elements and the volume per atom of the target."""
    copy = template.copy()
    pairs = counterparts(template.composition.reduced_formula, target.composition.reduced_formula)
    copy.replace_species(dict(pairs))
    copy.scale_lattice(target.volume / len(target) * len(copy))
    return copy


def distorted(structure: Structure, rng: np.random.Generator) -> Structure:
    """A copy with displaced atoms and a strained cell."""
    copy = structure.copy()
    strain = np.eye(3) + rng.normal(0, 0.02, (3, 3))
    lattice = type(copy.lattice)(copy.lattice.matrix @ ((strain + strain.T) / 2))
    moved = lattice.get_fractional_coords(rng.normal(0, 0.05, (len(copy), 3)))
    return type(copy)(lattice, copy.species, copy.frac_coords + moved)


def _confusion(pairs: Sequence[Pair], executor: Executor) -> dict[str, Any]:
    items: list[Row] = [{"structure": pack([a]), "known": pack([b])} for a, b in pairs]
    answers = executor.map(confirm, items, name="ask the matcher", shard=20, seconds=SECONDS)
    one, two = (describe_all(side, executor) for side in zip(*pairs, strict=True)) if pairs else ([], [])
    told = [
        (a["match"] is not None, _same(x, y)) for a, x, y in zip(answers, one, two, strict=True) if "error" not in a
    ]
    truth, found = np.array(told, dtype=bool).reshape(-1, 2).T
    return {
        "pairs": len(truth),
        "same_by_matcher": int(truth.sum()),
        "called_same_where_matcher_says_same": round(float(found[truth].mean()), 3) if truth.any() else None,
        "called_same_where_matcher_says_other": round(float(found[~truth].mean()), 3) if not truth.all() else None,
    }


def _same(one: Row, two: Row) -> bool:
    a, b = (np.array(row["fingerprint"]) * STEP for row in (one, two))
    return apart(a, b) < (TOLERANCE if one["n_primitive"] == two["n_primitive"] else DISTORTED)


def _some(n: int, rng: np.random.Generator) -> list[int]:
    return [int(i) for i in rng.choice(n, min(PAIRS, n), replace=False)]


def _structures(path: Path) -> list[Structure]:
    folded = path / "structures.parquet"
    return read_structures(folded if folded.exists() else path)[1]


if __name__ == "__main__":
    print(build(sys.argv[1:]))
