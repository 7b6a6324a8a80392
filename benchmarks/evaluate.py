"""How long ``matgen screen`` and ``matgen evaluate`` take, and how the rules behave on known structures.

    python benchmarks/evaluate.py --generated FILE --reference MP20_TEST [--out benchmarks/evaluate.md]

``--generated`` are de novo samples, for example of ``matgen sample flow-mp20 --n 1000 --seed 1 --out FILE``. For
structure prediction the answers are the first 1,000 reference structures with displaced atoms and strained cells.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.constraints.screening import screen
from matgen.constraints.specification import DEFAULT_SPECS
from matgen.data.candidates import Candidates
from matgen.evaluate.evaluation import evaluate
from matgen.evaluate.known_building import distorted
from matgen.evaluate.novelty import novelty
from matgen.evaluate.reference import read_reference
from matgen.evaluate.validity import PUBLISHED, SCREENED, compositional, structural
from matgen.execution import Pool
from matgen.runtime import versions, workers

if TYPE_CHECKING:
    from collections.abc import Callable

N = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=Path, required=True, help="file of de novo samples")
    parser.add_argument("--reference", type=Path, required=True, help="table or data set of true structures")
    parser.add_argument("--out", type=Path, help="Markdown file for the result")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    made = Candidates.from_file(args.generated)
    with Pool() as pool:
        there = read_reference(args.reference, pool)
    known = Candidates(pd.DataFrame({"id": there.ids, "material_id": there.ids}), there.structures)
    rng = np.random.default_rng(0)
    answers = Candidates(known.table[:N], [distorted(s, rng) for s in there.structures[:N]])
    steps: dict[str, Callable[[Pool], Any]] = {
        "screen, default constraints": lambda pool: screen(made, executor=pool),
        "novelty against the shipped structures": lambda pool: novelty(made, executor=pool),
        "evaluate, dng, no reference": lambda pool: evaluate(made, executor=pool),
        "evaluate, dng, with reference": lambda pool: evaluate(made, args.reference, executor=pool),
        "evaluate, csp": lambda pool: evaluate(answers, args.reference, "csp", executor=pool),
    }
    text = report(args, made, [measure(name, step) for name, step in steps.items()], rules(known))
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def measure(name: str, step: Callable[[Pool], Any]) -> dict[str, Any]:
    """Wall time of a step in fresh worker processes, their start included."""
    start = time.perf_counter()
    with Pool() as pool:
        step(pool)
    return {"step": name, "seconds": time.perf_counter() - start}


def rules(known: Candidates) -> dict[str, float]:
    """Shares of known structures that pass each rule."""
    passed = {
        "structural validity (0.5 Å)": structural(known.structures),
        "composition validity, smact14 (papers since CDVAE)": compositional(known.structures, PUBLISHED),
        "composition validity, ICSD 2024 with mixed valence": compositional(known.structures, SCREENED),
    }
    screened = {str(next(iter(spec))): len(screen(known, [spec])) / len(known) for spec in DEFAULT_SPECS}
    return {name: float(ok.mean()) for name, ok in passed.items()} | {f"screen: {k}": v for k, v in screened.items()}


def report(args: argparse.Namespace, made: Candidates, times: list[dict[str, Any]], shares: dict[str, float]) -> str:
    """The result as Markdown."""
    found = versions()
    lines = [
        "# Screening and evaluation",
        "",
        "Made by `python benchmarks/evaluate.py --generated FLOW1000 --reference MP20_TEST --out FILE`.",
        "",
        f"Date: {datetime.now(UTC):%Y-%m-%d}. Machine: {platform.machine()}, {workers()} worker processes of "
        "one thread, shared with other work.",
        f"Python {found['python']}, pymatgen {found['pymatgen']}, smact {found['smact']}, moyopy {found['moyopy']}.",
        f"Generated: {len(made)} de novo samples of {np.mean([len(s) for s in made.structures]):.1f} atoms on average. "
        f"Reference: {args.reference.name}.",
        "",
        "| step | wall time, s |",
        "|---|--:|",
        *(f"| {row['step']} | {row['seconds']:.0f} |" for row in times),
        "",
        "Reading the reference is part of each step that uses it; structure prediction compares 1,000 pairs.",
        "",
        "| rule | share of the reference that passes |",
        "|---|--:|",
        *(f"| {name} | {100 * share:.1f} % |" for name, share in shares.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
