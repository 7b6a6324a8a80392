"""Crystals a second at default settings, through the pool of worker processes that users have.

    python benchmarks/speed.py [--model flow-mp20 diffusion-mp20 ...] [--n 512] [--atoms 10] [--out benchmarks/speed.md]

A first sample of 64 a worker starts the workers and loads the models; it is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import matgen
from matgen.execution import Pool
from matgen.precision import native_bfloat16
from matgen.runtime import workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["flow-mp20", "diffusion-mp20", "vae-mp20", "gpt-mp20"])
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--atoms", type=int, default=10)
    parser.add_argument("--out", type=Path, help="Markdown file for the result")
    args = parser.parse_args()
    rows = [measure(name, args.n, args.atoms) for name in args.model]
    text = (
        f"# Sampling speed\n\n`python benchmarks/speed.py`: {args.n} cells of {args.atoms} atoms, default settings, "
        f"{datetime.now(UTC):%Y-%m-%d}; {platform.machine()}, {workers()} worker processes, load average "
        f"{os.getloadavg()[0]:.1f} at the end, native bfloat16: {'yes' if native_bfloat16('cpu') else 'no'}.\n\n"
        "| generator | crystals a second, by the clock |\n|---|--:|\n" + "\n".join(rows) + "\n"
    )
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def measure(name: str, n: int, atoms: int) -> str:
    with Pool() as pool:
        matgen.sample(name, n=64 * workers(), n_atoms=atoms, seed=1, executor=pool)
        start = time.perf_counter()
        matgen.sample(name, n=n, n_atoms=atoms, executor=pool)
        seconds = time.perf_counter() - start
    return f"| {name} | {n / seconds:.1f} |"


if __name__ == "__main__":
    main()
