"""A search for a gap over a library, and the ceiling of metrics in space; results are in benchmarks/molecules.md.

    python benchmarks/molecules.py search qm9.parquet --target 4.0
    python benchmarks/molecules.py space molecules.xyz

The first table has the columns smiles and homo_lumo_gap (eV); the second file holds molecules with all hydrogens.
Surrogates are measured by ``matgen train surrogate RECIPE --cross-validate``.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from matgen.data.property import find_property
from matgen.data.structures import read_structures
from matgen.evaluate.molecules import SPACE_PROTOCOL, space_metrics
from matgen.surrogates.molecule_boosting import MoleculeBoosting

app = typer.Typer(no_args_is_help=True)

FIRST, BATCH, BEST = 40, 20, 10


@app.command()
def search(
    table: Path,
    target: Annotated[float, typer.Option(help="Wanted gap, eV.")] = 4.0,
    pool: Annotated[int, typer.Option(help="Molecules of the library.")] = 2000,
    evaluations: int = 200,
    seeds: int = 3,
) -> None:
    """Mean error of the best 10 after so many evaluations: a surrogate that chooses, against random choice."""
    rows = pd.read_parquet(table).sample(pool, random_state=0)
    smiles, values = list(rows["smiles"]), rows["homo_lumo_gap"].to_numpy()
    best = np.sort(np.abs(values - target))[:BEST].mean()
    print(f"{pool} molecules, target {target} eV, {evaluations} evaluations, mean error of the best {BEST} in eV")
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        chance = _error(values[rng.permutation(pool)[:evaluations]], target)
        found.append((_guided(smiles, values, target, evaluations, rng), chance))
        print(f"seed {seed}: guided {found[-1][0]:.4f}, random {found[-1][1]:.4f}", flush=True)
    guided, chance = np.mean(found, axis=0)
    print(f"mean: guided {guided:.4f}, random {chance:.4f}, ratio {chance / guided:.1f}, best possible {best:.4f}")
    _machine()


@app.command()
def space(file: Path, n: Annotated[int, typer.Option(help="Molecules, the first ones.")] = 1000) -> None:
    """What the metrics in space say of molecules that are known to be right."""
    _, structures = read_structures(file)
    for name, value in space_metrics(structures[:n]).items():
        print(f"{name}: {value:.4g}")
    print(SPACE_PROTOCOL)
    _machine()


def _guided(smiles: list[str], values: np.ndarray, target: float, most: int, rng: np.random.Generator) -> float:
    """Begin at random, then take the molecules whose predicted gap, less one standard deviation, is nearest."""
    known = list(rng.permutation(len(values))[:FIRST])
    while len(known) < most:
        model = MoleculeBoosting(find_property("homo_lumo_gap"), members=4, trees=60, leaves=8, rate=0.15, bits=0)
        model.fit([smiles[i] for i in known], values[known], rng=rng)
        answer = model.predict(smiles)
        promise = np.abs(answer.mean - target) - answer.std
        promise[known] = np.inf
        known += list(np.argsort(promise)[: min(BATCH, most - len(known))])
    return _error(values[known], target)


def _error(values: np.ndarray, target: float) -> float:
    return float(np.sort(np.abs(values - target))[:BEST].mean())


def _machine() -> None:
    print(f"{datetime.now(UTC).date()}, {platform.machine()}, Python {platform.python_version()}")


if __name__ == "__main__":
    app()
