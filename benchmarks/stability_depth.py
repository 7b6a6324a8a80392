"""How far below the hull of all others known stable compounds lie: what a true discovery may look like.

    python benchmarks/stability_depth.py [--n 400] [--out benchmarks/stability_depth.md]

Each of ``n`` stable compounds of the shipped table is judged by the hull without its own formula.
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition

from matgen.stability.plausibility import TOO_LOW
from matgen.stability.references import ReferenceTable, load_reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = depths(load_reference(), args.n, args.seed)
    text = report(found, args.n, args.seed)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def depths(table: ReferenceTable, n: int, seed: int) -> pd.DataFrame:
    """Elements and depth below the hull of the others, eV/atom, of stable compounds."""
    known = table.entries.query("origin == 'known'")
    rows = []
    for formula in np.random.default_rng(seed).permutation(known["formula"].to_numpy()):
        composition = Composition(formula)
        entries = table.within(e.symbol for e in composition.elements)
        others = [e for e in entries if e.name != formula]
        own = min(e.energy_per_atom for e in entries if e.name == formula)
        above = own - PhaseDiagram(others).get_hull_energy_per_atom(composition)
        if above < 0:
            rows.append((len(composition), -above))
        if len(rows) == n:
            break
    return pd.DataFrame(rows, columns=["elements", "depth"])


def report(found: pd.DataFrame, n: int, seed: int) -> str:
    lines = ["| elements | compounds | median | 90 % | 95 % | 99 % | deeper than 0.1 | deeper than the limit |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
    for name, part in [*found.groupby("elements"), ("all", found)]:
        values = [f"{part['depth'].quantile(q):.3f}" for q in (0.5, 0.9, 0.95, 0.99)]
        shares = [f"{(part['depth'] > limit).mean():.1%}" for limit in (0.1, TOO_LOW)]
        lines.append("| " + " | ".join([str(name), str(len(part)), *values, *shares]) + " |")
    date, machine = datetime.now(UTC).date(), f"{os.cpu_count()} cores, {platform.machine()}, no GPU"
    return f"""# How deep below the hull true compounds lie

`python benchmarks/stability_depth.py --n {n} --seed {seed}`, {date}; {machine}.

Stable compounds of the table `chgnet-0.3.0`, each judged by the hull of all other formulas (eV/atom; CHGNet energies).
The limit beyond which a candidate is doubted is {TOO_LOW:g} eV/atom.

{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
