"""Rows per second of the quality gate.

    python benchmarks/ingest.py SOURCE... [--workers 0] [--out benchmarks/ingest.md]

Each source is ingested into a temporary folder, then once more to time the cache; the result is printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from matgen.data.ingest import WORKER_MEMORY, ingest
from matgen.execution import Pool
from matgen.runtime import versions, workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file for the result")
    args = parser.parse_args()
    before = os.getloadavg()[0]
    rows = [measured(source, args.workers) for source in args.sources]
    text = report(rows, args.workers, before)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def measured(source: str, n: int) -> list[str]:
    """One line of the table, including the start of the workers."""
    with tempfile.TemporaryDirectory() as folder, Pool(n, memory=WORKER_MEMORY) as pool:
        start = time.perf_counter()
        dataset = ingest(source, Path(folder) / "out", executor=pool)
        took = time.perf_counter() - start
        start = time.perf_counter()
        again = ingest(source, Path(folder) / "out", executor=pool)
        cached = time.perf_counter() - start
    if not again.cached:
        raise RuntimeError("the second ingest was not cached")
    card = dataset.card
    reasons = ", ".join(f"{reason} {count}" for reason, count in card["quarantine"].items()) or "none"
    name = "/".join(Path(source).parts[-2:])
    counts = [f"{card['rows'][key]:,}" for key in ("in", "kept", "quarantined")]
    return [name, *counts, f"{took:.1f}", f"{card['rows']['in'] / took:.0f}", f"{cached:.2f}", reasons]


def report(rows: list[list[str]], n: int, before: float) -> str:
    found = versions()
    head = ["source", "rows in", "kept", "quarantined", "seconds", "rows/s", "seconds, cached", "reasons"]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---", *["--:"] * 6, "---"], *rows)]
    return (
        "# The quality gate\n\n"
        f"`python benchmarks/ingest.py ...`, {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {workers(n)} worker "
        f"processes on {os.cpu_count()} cores, load average {before:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"Python {found['python']}, pymatgen {found['pymatgen']}. Every step of the gate, from starting the workers to "
        "the written data set; a load above the number of cores means that other work shared the machine.\n\n"
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    main()
