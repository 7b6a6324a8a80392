"""Build the table of known structures that comes with matgen, and measure how often it agrees with the matcher.

    python -m matgen.evaluate.known_building VAL TRAIN_PART MPTS_VAL MPTS_TEST MP20_TEST

where each argument is an ingested data set or a structure file. The table holds formulas, space groups and
fingerprints, no structures and no identifiers.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher

from matgen.data.structures import pack, read_structures
from matgen.evaluate.fingerprint import apart, fingerprint
from matgen.evaluate.known import SHIPPED, TOLERANCE, describe_rows
from matgen.execution import Pool
from matgen.runtime import whole_file, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

PAIRS = 1000
"""Pairs of one formula on which the agreement with the matcher is measured, and as many distorted copies."""


def build(sources: Sequence[str], out: Path = SHIPPED) -> dict[str, Any]:
    """Write the table and its card; returns the card."""
    structures = [s for source in sources for s in _structures(Path(source))]
    items = pd.DataFrame(pack(structures)).to_dict("records")
    rows = Pool().map(describe_rows, items, name="fingerprints", shard=200)
    whole = [row for row in rows if "error" not in row]
    table = pd.DataFrame(whole)
    table["space_group"] = table["space_group"].astype(np.uint8)
    table["fingerprint"] = [np.array(v, dtype=np.uint8) for v in table["fingerprint"]]
    table = table.sort_values("formula", kind="stable", ignore_index=True)
    with whole_file(out) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
    card = {
        "what": "Formula, space group (0.1 Å) and fingerprint of known structures; no structures, no identifiers",
        "sources": [Path(source).name for source in sources],
        "data": "Materials Project structures of MP-20 and MPTS-52, CC BY 4.0",
        "rows": len(table),
        "failed": len(rows) - len(whole),
        "tolerance": TOLERANCE,
        "agreement": agreement(structures),
        "date": date.today().isoformat(),
    }
    write_json(out.with_suffix(".card.json"), card)
    return card


def agreement(structures: Sequence[Structure], seed: int = 0) -> dict[str, Any]:
    """How often the fingerprint and ``StructureMatcher()`` agree.

    On pairs of known structures of one formula, and on pairs of a structure and its copy with atoms displaced by
    0.05 Å and a cell strained by 2 % (standard deviations).
    """
    rng = np.random.default_rng(seed)
    pairs = _pairs(structures, rng)
    matcher = StructureMatcher()
    same = np.array([matcher.fit(a, b) for a, b in pairs])
    close = np.array([apart(fingerprint(a), fingerprint(b)) < TOLERANCE for a, b in pairs])
    originals = [structures[i] for i in rng.choice(len(structures), min(PAIRS, len(structures)), replace=False)]
    found = [apart(fingerprint(s), fingerprint(distorted(s, rng))) < TOLERANCE for s in originals]
    return {
        "pairs": len(pairs),
        "matcher_says_same": int(same.sum()),
        "known_where_matcher_says_same": round(float(close[same].mean()), 3),
        "known_where_matcher_says_other": round(float(close[~same].mean()), 3),
        "distorted_copies_found": round(float(np.mean(found)), 3),
    }


def distorted(structure: Structure, rng: np.random.Generator) -> Structure:
    """A copy with displaced atoms and a strained cell."""
    copy = structure.copy()
    strain = np.eye(3) + rng.normal(0, 0.02, (3, 3))
    lattice = type(copy.lattice)(copy.lattice.matrix @ ((strain + strain.T) / 2))
    moved = lattice.get_fractional_coords(rng.normal(0, 0.05, (len(copy), 3)))
    return type(copy)(lattice, copy.species, copy.frac_coords + moved)


def _pairs(structures: Sequence[Structure], rng: np.random.Generator) -> list[tuple[Structure, Structure]]:
    formulas: dict[str, list[int]] = {}
    for i, structure in enumerate(structures):
        formulas.setdefault(structure.composition.reduced_formula, []).append(i)
    several = [members for members in formulas.values() if len(members) > 1]
    chosen = rng.choice(len(several), min(PAIRS, len(several)), replace=False)
    drawn = [rng.choice(several[c], 2, replace=False) for c in chosen]
    return [(structures[i], structures[j]) for i, j in drawn]


def _structures(path: Path) -> list[Structure]:
    folded = path / "structures.parquet"
    return read_structures(folded if folded.exists() else path)[1]


if __name__ == "__main__":
    print(build(sys.argv[1:]))
