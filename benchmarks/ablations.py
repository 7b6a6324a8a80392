"""What the sampling defaults of a flow or diffusion model are worth: one setting changed at a time.

    python benchmarks/ablations.py [--model flow-mp20] [--n 128] [--only capped] [--out FILE]

The same noise for each setting; samples as submitted, not relaxed. Rows are printed (and appended to FILE) one by one.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.data.symmetry import space_group_number
from matgen.evaluate.interval import wilson
from matgen.evaluate.validity import compositional, structural
from matgen.generators.base import load_generator
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "flow": [
        {},
        {"temperature": 0.5},
        {"temperature": 1.0},
        {"annealing": 0.0},
        {"annealing": 10.0},
        {"capped": True},
        {"capped": True, "annealing": 10.0},
        {"steps": 20},
        {"steps": 100},
        {"churn": 0.3},
    ],
    "diffusion": [
        {},
        {"temperature": 0.5},
        {"temperature": 1.0},
        {"sharpening": 0.0},
        {"steps": 20},
        {"noise": 0.5},
        {"noise": 1.0},
        {"corrections": 1},
    ],
}
HEAD = "| setting | structural validity | composition validity (smact14) | elements, mean | P1 | crystals/s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="flow-mp20")
    parser.add_argument("--n", type=int, default=128)
    parser.add_argument("--only", default="", help="settings in whose label this stands")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    limit_threads(1)
    model = load_generator(args.model)

    def say(line: str) -> None:
        print(line, flush=True)
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    say(f"{args.model}, {args.n} samples, {platform.machine()}, 1 thread, {datetime.now(UTC):%Y-%m-%d}\n\n{HEAD}")
    say("|---|--:|--:|--:|--:|--:|")
    for options in SETTINGS[model.name]:
        label = ", ".join(f"{name}={value:g}" for name, value in options.items()) or "default"
        if args.only not in label:
            continue
        begin = time.perf_counter()
        made = from_batch(model.sample(Request(n=args.n), rng=Streams(0, "ablation"), **options))
        speed = args.n / (time.perf_counter() - begin)
        p1 = [space_group_number(crystal) == 1 for crystal in made]
        elements = np.mean([len(crystal.composition) for crystal in made])
        shares = [shown(structural(made)), shown(compositional(made)), f"{elements:.2f}", shown(p1), f"{speed:.1f}"]
        say(f"| {label} | {' | '.join(shares)} |")


def shown(values: Sequence[bool] | np.ndarray) -> str:
    low, high = wilson(int(np.sum(values)), len(values))
    return f"{100 * np.mean(values):.1f} % ({100 * low:.0f} - {100 * high:.0f})"


if __name__ == "__main__":
    main()
