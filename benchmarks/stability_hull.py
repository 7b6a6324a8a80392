"""Energies above the shipped CHGNet hull of known structures, against those of density functional theory.

    python benchmarks/stability_hull.py STRUCTURES [--n 300] [--above UNSTABLE] [--relax] [--work FOLDER] [--out FILE]

STRUCTURES has a column ``e_above_hull`` (eV/atom, DFT). ``n`` on the DFT hull and ``n`` metastable ones are drawn.
UNSTABLE is a table like it, of which only cells of at most 20 atoms that DFT puts more than 0.1 eV/atom above the hull
are drawn, since a judge that lets everything pass must lose somewhere. Each structure is evaluated as it is (a single
point at the DFT geometry), or relaxed with the potential first (``--relax``), which is what a candidate gets. With
``--work`` a stopped run goes on.
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from matgen.data.candidates import Candidates
from matgen.data.structures import read_structures
from matgen.evaluate.interval import wilson
from matgen.execution import Executor, Pool
from matgen.stability.hull import hull
from matgen.stability.relaxation import relax, single_point
from matgen.workflow.ledger_executor import LedgerExecutor

LIMIT = 0.1
"""Boundary between kept and given up, eV/atom."""

RANGES = ((0.1, 0.15), (0.15, 0.3), (0.3, 10.0))
"""Of the DFT energy above the hull, eV/atom."""

UNSTABLE, LARGEST = "unstable", 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--above", type=Path)
    parser.add_argument("--relax", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    drawn = draw(args.structures, args.above, args.n, args.seed)
    executor: Executor = Pool(args.workers)
    if args.work:
        executor = LedgerExecutor(args.work, executor)
    if args.relax:
        judged = hull(relax(drawn, executor=executor))
    else:
        judged = hull(single_point(drawn, executor=executor), energies="energy_unrelaxed")
        judged.table.columns = [name.removesuffix("_unrelaxed") for name in judged.table]
    text = report(args, drawn, judged)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def draw(path: Path, above: Path | None, n: int, seed: int) -> Candidates:
    """``n`` of each group that the tables hold."""
    rng, rows, chosen = np.random.default_rng(seed), [], []
    for name, source in (("on the hull", path), ("metastable", path), (UNSTABLE, above)):
        if source is None:
            continue
        table, structures = read_structures(source)
        dft = table["e_above_hull"].to_numpy(dtype=float)
        small = np.array([len(structure) <= LARGEST for structure in structures])
        inside = {"on the hull": dft <= 1e-6, "metastable": dft > 1e-6, UNSTABLE: (dft > LIMIT) & small}[name]
        for i in rng.permutation(np.flatnonzero(inside))[:n]:
            rows.append({"id": f"{name} {i}", "group": name, "dft": dft[i]})
            chosen.append(structures[i])
    return Candidates(pd.DataFrame(rows), chosen)


def report(args: argparse.Namespace, drawn: Candidates, judged: Candidates) -> str:
    lines = ["| group | drawn | judged | DFT range, eV/atom | correct side of 0.1 (95 % interval) |"]
    lines[0] += " MAE, eV/atom | MAE of always 0 | thin |"
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    asked = drawn.table["group"].value_counts()
    for name, part in [*judged.table.groupby("group", sort=False), ("all", judged.table)]:
        found, dft = part["e_above_hull"], part["dft"]
        n = int(asked.get(name, len(drawn)))
        right = int(((found <= LIMIT) == (dft <= LIMIT)).sum())
        low, high = (100 * end for end in wilson(right, n))
        cells = [name, n, len(part), f"{dft.min():.3f} to {dft.max():.3f}"]
        cells += [f"{right} of {n}, {right / n:.1%} ({low:.1f} to {high:.1f})"]
        cells += [
            f"{(found.clip(lower=0) - dft).abs().mean():.3f}",
            f"{dft.mean():.3f}",
            int(part["thin_system"].sum()),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    both = judged.table[["e_above_hull", "dft"]]
    ranges = []
    for low, high in RANGES if args.above else ():
        part = both[(both["dft"] > low) & (both["dft"] <= high)]
        caught = int((part["e_above_hull"] > LIMIT).sum())
        ranges.append(f"{caught} of {len(part)} between {low:g} and {high:g}")
    return TEXT.format(
        date=datetime.now(UTC).date(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        options=f"{args.structures.name} --n {args.n} --seed {args.seed}"
        + (f" --above {args.above.name}" if args.above else "")
        + (" --relax" if args.relax else ""),
        how="Relaxed with CHGNet 0.3.0 (cell and positions, 0.05 eV/Å)"
        if args.relax
        else "Single points of CHGNet 0.3.0 at the DFT geometry (not relaxed)",
        table="\n".join(lines),
        rank=both.corr(method="spearman").iloc[0, 1],
        below=int((both["e_above_hull"] < -LIMIT).sum()),
        above=int((both["dft"] > LIMIT).sum()),
        rejected=len(judged.rejected),
        ranges="\nBy their DFT energy, found above 0.1: " + "; ".join(ranges) + ".\n" if ranges else "",
    )


TEXT = """# Energies above the CHGNet hull against DFT

`python benchmarks/stability_hull.py {options}`, {date}; {machine}.

{how}, judged by the shipped table `chgnet-0.3.0`. Structures that could not be judged ({rejected}) count as wrong.

{table}

In the error an energy below the hull counts as 0, as DFT's does. Spearman correlation of the energies above the hull
with DFT's: {rank:.2f}. More than 0.1 eV/atom below the hull: {below}; by its card the table holds none of the
MP-20 test structures, so a compound of the DFT hull may lie below the hull of the others. Structures of `--above` may
be in the table; a row of the table that lies above the hull does not change it, and one that CHGNet puts on the hull
counts as wrong either way. CHGNet itself learned from the Materials Project, these structures likely among them.

**How much the share says:** {above} of these structures lie above 0.1 eV/atom in DFT. On the others a judge that lets
everything pass scores 100 %, so for those alone the share only measures false alarms.
{ranges}"""


if __name__ == "__main__":
    main()
