"""Fit the table of elemental volumes that comes with matgen.

    python -m matgen.features.volume_fitting DATASET...

where each argument is an ingested data set or a structure file.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matgen.data.structures import read_structures
from matgen.elements import covalent_radius, symbols
from matgen.features.volumes import TABLE, element_counts, fit_elemental_volumes
from matgen.runtime import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

SPHERE = 4.0
"""Volume of an atom over the cube of its covalent radius, believed where the data say nothing."""


def fit_table(sources: Sequence[str], out: Path = TABLE) -> None:
    """Fit volumes to all structures of the sources and write them, in Å³."""
    folded = [Path(source) / "structures.parquet" for source in sources]
    paths = [fold if fold.exists() else Path(source) for fold, source in zip(folded, sources, strict=True)]
    structures = [structure for path in paths for structure in read_structures(path)[1]]
    pairs = [np.unique(structure.atomic_numbers, return_counts=True) for structure in structures]
    volumes = np.array([structure.volume for structure in structures])
    prior = SPHERE * np.nan_to_num(covalent_radius(), nan=1.6) ** 3
    counts = element_counts(pairs)
    fitted = fit_elemental_volumes(counts, volumes, prior)
    error = np.abs(counts[:, 1:] @ fitted[1:] / volumes - 1.0)
    seen = counts.sum(axis=0) > 0
    table = {symbols()[z]: round(float(fitted[z]), 3) for z in range(1, len(fitted)) if seen[z]}
    facts = {"fitted_to": [path.name for path in map(Path, sources)], "structures": len(structures)}
    errors = {
        "median_relative_error": round(float(np.median(error)), 4),
        "unit": "Å³",
        "date": date.today().isoformat(),
    }
    write_json(out, {**facts, **errors, "volumes": table})


if __name__ == "__main__":
    fit_table(sys.argv[1:])
