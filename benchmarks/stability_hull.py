"""Energies above the shipped CHGNet hull of known structures, against those of density functional theory.

    python benchmarks/stability_hull.py STRUCTURES [--n 300] [--out benchmarks/stability_hull.md]

STRUCTURES has a column ``e_above_hull`` (eV/atom, DFT). ``n`` on the DFT hull and ``n`` metastable ones are drawn;
each is evaluated as it is (a single point at the DFT geometry), the protocol of the table's unrelaxed rows.
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
from matgen.execution import Serial
from matgen.stability.hull import hull
from matgen.stability.relaxation import single_point

LIMIT = 0.1
"""Boundary between kept and given up, eV/atom."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    drawn = draw(args.structures, args.n, args.seed)
    judged = hull(single_point(drawn, executor=Serial()), energies="energy_unrelaxed")
    text = report(args, drawn, judged)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def draw(path: Path, n: int, seed: int) -> Candidates:
    table, structures = read_structures(path)
    dft, rng = table["e_above_hull"].to_numpy(dtype=float), np.random.default_rng(seed)
    groups = {"on the hull": np.flatnonzero(dft <= 1e-6), "metastable": np.flatnonzero(dft > 1e-6)}
    chosen = [(name, i) for name, where in groups.items() for i in rng.permutation(where)[:n]]
    rows = {"id": [f"s{i}" for _, i in chosen], "group": [g for g, _ in chosen], "dft": [dft[i] for _, i in chosen]}
    return Candidates(pd.DataFrame(rows), [structures[i] for _, i in chosen])


def report(args: argparse.Namespace, drawn: Candidates, judged: Candidates) -> str:
    lines = [
        "| group | drawn | judged | DFT range, eV/atom | correct side of 0.1 | MAE, eV/atom | MAE of always 0 | thin |"
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    asked = drawn.table["group"].value_counts()
    for name, part in [*judged.table.groupby("group", sort=False), ("both", judged.table)]:
        found, dft = part["e_above_hull_unrelaxed"], part["dft"]
        n = int(asked.get(name, len(drawn)))
        right = int(((found <= LIMIT) == (dft <= LIMIT)).sum())
        cells = [name, n, len(part), f"{dft.min():.3f} to {dft.max():.3f}", f"{right} of {n} ({right / n:.1%})"]
        cells += [f"{(found.clip(lower=0) - dft).abs().mean():.3f}", f"{dft.mean():.3f}"]
        cells += [int(part["thin_system_unrelaxed"].sum())]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    both = judged.table[["e_above_hull_unrelaxed", "dft"]]
    return TEXT.format(
        date=datetime.now(UTC).date(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        n=args.n,
        file=args.structures.name,
        seed=args.seed,
        table="\n".join(lines),
        rank=both.corr(method="spearman").iloc[0, 1],
        below=int((both["e_above_hull_unrelaxed"] < -LIMIT).sum()),
        above=int((both["dft"] > LIMIT).sum()),
        rejected=len(judged.rejected),
    )


TEXT = """# Energies above the CHGNet hull against DFT

`python benchmarks/stability_hull.py {file} --n {n} --seed {seed}`, {date}; {machine}.

Single points of CHGNet 0.3.0 at the DFT geometry (not relaxed) against the shipped table `chgnet-0.3.0`. Structures
that could not be judged ({rejected}) count as wrong.

{table}

In the error an energy below the hull counts as 0, as DFT's does. Spearman correlation of the energies above the hull
with DFT's: {rank:.2f}. More than 0.1 eV/atom below the hull: {below}; by its card the table holds none of the
MP-20 test structures, so a compound of the DFT hull may lie below the hull of the others.

**How much the share says:** {above} of these structures lie above 0.1 eV/atom in DFT. Where that is 0, a judge that
lets everything pass scores 100 %, so the share only measures false alarms; compare the error
with that of always saying 0.
"""


if __name__ == "__main__":
    main()
