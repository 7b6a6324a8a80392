"""What domain knowledge buys where there are few data: 200 structures, one small flow, three ways to sample it.

    python benchmarks/small_data.py --data PEROV5_TRAIN --out FOLDER [--rows 200] [--steps 2000] [--n 200] [--relax 30]

``PEROV5_TRAIN`` is an ingested data set or a file of structures; its first ``rows`` teach the flow (a killed training
goes on). Sampled are: no constraints; the same samples behind filters; the same constraints inside sampling. A good
candidate passes the filters where there are any, is unlike the others and the training rows, and lies within 0.1
eV/atom of the reference hull after at most ``relax`` steps of relaxation with CHGNet.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matgen.constraints.screening import screen
from matgen.data.structures import read_structures, write_structures
from matgen.evaluate.interval import wilson
from matgen.evaluate.novelty import novelty
from matgen.evaluate.validity import compositional, structural
from matgen.execution import Serial
from matgen.generators.sampling import sample
from matgen.generators.training import train
from matgen.runtime import limit_threads
from matgen.stability.hull import hull
from matgen.stability.relaxation import relax
from matgen.training import Training

if TYPE_CHECKING:
    from matgen.data.candidates import Candidates

KNOWLEDGE = (
    {"anonymous_formula": {"formula": "ABC3"}},
    {"charge_neutral": {"oxidation_states": "smact14", "mixed_valence": False}},
    {"min_distance": {"absolute": 0.5, "radius_factor": 0.6}},
    "volume_per_atom",
)
"""Perovskites are ABX3, neutral, and their atoms keep apart; elements are not limited."""

NEAR = 0.1
"""eV/atom above the hull."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--relax", type=int, default=30)
    args = parser.parse_args()
    limit_threads(1)
    known = taught(args)
    print(f"{platform.machine()}, 1 thread, no GPU, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    print("| sampled | structure and composition valid | pass the filters | SUN | samples for a good one | CPU s |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    free, seconds = drawn(args, ())
    passing = screen(free, KNOWLEDGE, executor=Serial())
    row("no constraints", free, free, len(passing), known, args, seconds)
    row("filters only", free, passing, len(passing), known, args, seconds)
    inside, seconds = drawn(args, KNOWLEDGE)
    passing = screen(inside, KNOWLEDGE, executor=Serial())
    row("constraints inside", inside, passing, len(passing), known, args, seconds)


def taught(args: argparse.Namespace) -> Path:
    """Train the flow on the first rows; returns the file that holds them."""
    table, structures = read_structures(data_file(args.data))
    rows = args.out / "learned.parquet"
    write_structures(rows, table.iloc[: args.rows].reset_index(drop=True), structures[: args.rows])
    if not (args.out / "card.json").exists():
        settings = Training(steps=args.steps, atoms=320, lr=1e-3, warmup=100, ema=0.995, precision="32-true")
        start = time.process_time()
        size = {"width": 128, "layers": 4, "heads": 4, "channels": 16}
        train(rows, args.out, generator="flow", config=size, settings=settings, max_atoms=5)
        print(
            f"{args.rows} structures, {args.steps} steps, {time.process_time() - start:.0f} CPU s of training",
            flush=True,
        )
    return rows


def drawn(args: argparse.Namespace, constraints: tuple[object, ...]) -> tuple[Candidates, float]:
    start = time.process_time()
    made = sample(args.out, args.n, 0, constraints=constraints, executor=Serial())  # type: ignore[arg-type]
    return made, time.process_time() - start


def row(
    label: str,
    made: Candidates,
    kept: Candidates,
    passing: int,
    known: Path,
    args: argparse.Namespace,
    seconds: float,
) -> None:
    """Print one row; shares are of all samples drawn. Only those that are kept are relaxed and can be good."""
    valid = structural(made.structures) & compositional(made.structures)
    new = novelty(kept, known, reject_known=True, executor=Serial())
    relaxed = relax(new, "chgnet", fmax=0.1, max_steps=args.relax, executor=Serial())
    judged = hull(relaxed).table["e_above_hull"].to_numpy(dtype=float)
    good = int((judged <= NEAR).sum())
    low, high = wilson(good, args.n)
    sun = f"{good / args.n:.1%} ({low:.1%} to {high:.1%})"
    needed = f"{args.n / good:.1f}" if good else "none found"
    shares = f"{np.mean(valid):.1%} | {passing / args.n:.1%}"
    print(f"| {label} | {shares} | {sun} | {needed} | {seconds:.0f} |", flush=True)


def data_file(path: str) -> Path:
    inside = Path(path) / "structures.parquet"
    return inside if inside.exists() else Path(path)


if __name__ == "__main__":
    main()
