"""How many known crystals each structural and chemical constraint keeps at its defaults, and what it costs.

    python benchmarks/known_crystals.py DATA --n 300

DATA is an ingested data set or a structure file. A constraint that turns many known crystals away is evidence at best.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np

from matgen.constraints.specification import build_constraints
from matgen.data.structures import read_structures

SPECS = (
    "bond_valence",
    "cell_shape",
    "charge_neutral",
    "coordination",
    {"dimensionality": {"wanted": [2, 3]}},
    {"elements": {"exclude": ["radioactive"]}},
    {"min_distance": {"absolute": 0.5, "radius_factor": 0.6}},
    "pauling_order",
    "perovskite",
    {"price": {"high": 100}},
    "volume_per_atom",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folded = arguments.data / "structures.parquet"
    _, structures = read_structures(folded if folded.exists() else arguments.data)
    chosen = np.random.default_rng(arguments.seed).permutation(len(structures))[: arguments.n]
    picked = [structures[i] for i in chosen]
    print(f"{len(picked)} of {len(structures)} crystals, seed {arguments.seed}, {date.today()}, one thread\n")
    print("| constraint | passed | 95 % interval | ms a crystal |\n|---|--:|--:|--:|")
    for constraint in build_constraints(SPECS):
        constraint.check(picked[:3])  # tables are read on first use
        begin = time.perf_counter()
        verdict = constraint.check(picked)
        spent = 1000 * (time.perf_counter() - begin) / len(picked)
        low, high = wilson(int(verdict.passed.sum()), len(picked))
        print(f"| `{constraint.name}` | {verdict.passed.mean():.1%} | {low:.1%} to {high:.1%} | {spent:.1f} |")
        if constraint.name == "bond_valence":
            scores = verdict.score[np.isfinite(verdict.score)]
    quantiles = ", ".join(f"{q} % {np.percentile(scores, q):.2f}" for q in (5, 25, 50, 75, 90, 95))
    print(f"\nGlobal instability index of the {len(scores)} crystals that have one, quantiles: {quantiles}.")


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22, 209, 1927)."""
    centre, spread = (hits + z * z / 2) / (n + z * z), z * np.sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z)
    return float(centre - spread), float(centre + spread)


if __name__ == "__main__":
    main()
