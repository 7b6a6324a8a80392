"""The main job: seconds and survivors of each stage, and what each generator contributed.

    python benchmarks/discovery.py [--workflow workflows/discover.yaml] [--set a.b=c]... [--out benchmarks/discovery.md]

Runs the workflow in a new folder (kept with ``--run FOLDER``; an existing run is read and not repeated) and prints a
table. "Good" candidates are valid, unique, new and at most 0.1 eV/atom above the reference hull.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matgen.runtime import versions, workers
from matgen.workflow.run import run

if TYPE_CHECKING:
    import pandas as pd

    from matgen.workflow.run import Run

GOOD = 0.1
"""eV/atom above the reference hull."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflow", default="workflows/discover.yaml")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--run", type=Path, help="folder of the run")
    parser.add_argument("--out", type=Path, help="Markdown file for the result")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = report(args, run(args.workflow, args.settings, out=args.run or Path(temporary) / "run"))
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


def report(args: argparse.Namespace, done: Run) -> str:
    found = versions()
    load = os.getloadavg()[0]
    command = " ".join(["python benchmarks/discovery.py", *(f"--set '{s}'" for s in args.settings)])
    seconds = sum(done.record["timings"].values())
    rests_on = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in done.record["protocol"].items())
    return "\n".join(
        [
            "# The main job",
            "",
            f"`{command}`, seed {done.config.seed}, {datetime.now(tz=UTC):%Y-%m-%d}, {platform.machine()},"
            f" {workers(done.config.workers)} worker processes (load average at the end {load:.1f}),"
            f" Python {found['python']}, torch {found['torch']}. {rests_on}.",
            "",
            "| stage | entered | left | seconds |",
            "|---|--:|--:|--:|",
            *(stage_line(step, done.record["timings"]) for step in done.record["funnel"]),
            f"| all | | | {seconds:.0f} |",
            "",
            "| generator | sampled | relaxed and distinct | good |",
            "|---|--:|--:|--:|",
            *generator_lines(done.candidates.table, done.candidates.rejected),
        ]
    )


def stage_line(step: dict[str, int | str], timings: dict[str, float]) -> str:
    return f"| {step['stage']} | {step['entered']} | {step['left']} | {timings[str(step['stage'])]:.1f} |"


def generator_lines(table: pd.DataFrame, rejected: pd.DataFrame) -> list[str]:
    good = table[table["valid"] & table["unique"] & table["novel"] & (table["e_above_hull"] <= GOOD)]
    names = sorted({*table["generator"], *rejected["generator"]})
    counts = {name: [(part["generator"] == name).sum() for part in (table, rejected, good)] for name in names}
    return [f"| {name} | {kept + lost} | {kept} | {fine} |" for name, (kept, lost, fine) in counts.items()]


if __name__ == "__main__":
    main()
