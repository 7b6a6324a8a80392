"""Relaxation throughput: ASE's loop over the chgnet package's calculator, and matgen's batched relaxation.

    python benchmarks/relaxation.py [--structures FILE] [--n 32] [--out benchmarks/relaxation.md]

Same structures, potential (CHGNet 0.3.0), force threshold and step limit for all. Without ``--structures`` they are
AFLOW prototypes as pymatgen carries them, each pulled out of its minimum by a random strain and random displacements.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
import warnings
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matgen.data.candidates import Candidates
from matgen.data.structures import read_structures
from matgen.execution import Pool
from matgen.runtime import versions, workers
from matgen.stability.batched import RelaxSettings
from matgen.stability.gate import Gate
from matgen.stability.plain import relax_one_by_one
from matgen.stability.potential import load_potential
from matgen.stability.relaxation import relax

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymatgen.core import Structure

LARGEST = 20
"""Atoms in a cell."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=Path, help="file of structures to draw from")
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strain", type=float, default=0.04, help="standard deviation of each strain component")
    parser.add_argument("--rattle", type=float, default=0.1, help="standard deviation of each displacement, Å")
    parser.add_argument("--fmax", type=float, default=0.05)
    parser.add_argument("--max-steps", type=int, default=500)
    parser.add_argument("--out", type=Path, help="Markdown file for the result")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    structures = disturbed(draw(args.structures, args.n, args.seed), args.strain, args.rattle, args.seed)
    rows = [measure(name, run, structures) for name, run in ways(args.fmax, args.max_steps).items()]
    text = report(args, structures, pd.DataFrame(rows))
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def draw(path: Path | None, n: int, seed: int) -> list[Structure]:
    structures = read_structures(path)[1] if path else prototypes()
    small = [s for s in structures if len(s) <= LARGEST and len(s.composition) > 1]
    passed = [
        s for s, reason in zip(small, Gate(load_potential().elements).reasons(small), strict=True) if reason is None
    ]
    chosen = np.random.default_rng(seed).permutation(len(passed))[:n]
    return [passed[i] for i in chosen]


def prototypes() -> list[Structure]:
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    return [entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY if entry["snl"].structure.is_ordered]


def disturbed(structures: list[Structure], strain: float, rattle: float, seed: int) -> list[Structure]:
    from pymatgen.core import Lattice, Structure

    found = []
    for i, structure in enumerate(structures):
        rng = np.random.default_rng([seed, i])
        change = rng.normal(scale=strain, size=(3, 3))
        lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + (change + change.T) / 2))
        moves = lattice.get_fractional_coords(rng.normal(scale=rattle, size=(len(structure), 3)))
        found.append(Structure(lattice, structure.species, structure.frac_coords + moves))
    return found


def ways(fmax: float, max_steps: int) -> dict[str, Callable[[list[Structure]], pd.DataFrame]]:
    settings = RelaxSettings(fmax=fmax, max_steps=max_steps, seconds=600.0)
    plain = {f"ASE {name}, one by one": partial(ase_loop, settings, name) for name in ("FIRE", "BFGS")}
    return {
        **plain,
        "matgen, one process": partial(batched, settings, 1),
        f"matgen, {workers()} processes": partial(batched, settings, workers()),
    }


def ase_loop(settings: RelaxSettings, optimizer: str, structures: list[Structure]) -> pd.DataFrame:
    import torch

    torch.set_num_threads(workers())  # as a plain script would have it
    results = relax_one_by_one(structures, load_potential(), settings, optimizer)
    return pd.DataFrame(
        {
            "status": [r.status for r in results],
            "energy": [r.energy for r in results],
            "steps": [r.steps for r in results],
        }
    )


def batched(settings: RelaxSettings, n: int, structures: list[Structure]) -> pd.DataFrame:
    candidates = Candidates(pd.DataFrame({"id": [str(i) for i in range(len(structures))]}), structures)
    with Pool(n) as pool:
        relax(_first(candidates), max_steps=0, executor=pool)  # the workers start and load the potential
        start = time.perf_counter()
        done = relax(candidates, fmax=settings.fmax, max_steps=settings.max_steps, seconds=600.0, executor=pool)
        seconds = time.perf_counter() - start
    both = pd.concat([done.table, done.rejected]).assign(id=lambda t: t["id"].astype(int)).sort_values("id")
    found = both[["relax_status", "energy", "relax_steps"]].set_axis(["status", "energy", "steps"], axis=1)
    return found.reset_index(drop=True).assign(seconds=seconds)


def _first(candidates: Candidates) -> Candidates:
    n = min(len(candidates), 32)
    return Candidates(candidates.table.iloc[:n], candidates.structures[:n])


def measure(
    name: str, run: Callable[[list[Structure]], pd.DataFrame], structures: list[Structure]
) -> dict[str, object]:
    before, start = _cpu(), time.perf_counter()
    result = run(structures)
    seconds = float(result["seconds"].iloc[0]) if "seconds" in result else time.perf_counter() - start
    return {"name": name, "seconds": seconds, "cpu": _cpu() - before, "result": result}


def _cpu() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usages)


def report(args: argparse.Namespace, structures: list[Structure], rows: pd.DataFrame) -> str:
    first = rows["result"].iloc[0]
    lines = [
        "| way | structures/min | times ASE FIRE | CPU s/structure | steps | converged | energy - FIRE's, meV/atom |"
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    n = len(structures)
    for row in rows.itertuples():
        result, faster = row.result, rows["seconds"].iloc[0] / row.seconds
        gap = (result["energy"].to_numpy() - first["energy"].to_numpy()) * 1000
        cells = [row.name, f"{60 * n / row.seconds:.1f}", f"{faster:.1f}", f"{row.cpu / n:.2f}"]
        cells += [f"{result['steps'].mean():.0f}", f"{(result['status'] == 'ok').sum()} of {n}"]
        lines.append("| " + " | ".join([*cells, f"{np.nanmedian(gap):+.1f} (median)"]) + " |")
    sizes = [len(s) for s in structures]
    return HEADER.format(
        n=n,
        where=args.structures.name if args.structures else "AFLOW prototypes (pymatgen)",
        atoms=f"{min(sizes)}-{max(sizes)}, mean {np.mean(sizes):.1f}",
        strain=args.strain,
        rattle=args.rattle,
        seed=args.seed,
        fmax=args.fmax,
        steps=args.max_steps,
        date=datetime.now(UTC).date(),
        cores=workers(),
        machine=f"{_processor()}, {workers()} cores, load {os.getloadavg()[0]:.1f} at the end",
        versions=", ".join(
            f"{k} {v}" for k, v in versions().items() if k in {"python", "torch", "ase", "chgnet", "matgen"}
        ),
        table="\n".join(lines),
    )


HEADER = """# Relaxation throughput

`python benchmarks/relaxation.py`, {date}; {machine}; {versions}.

{n} structures from {where}, {atoms} atoms a cell, each strained (standard
deviation {strain} a component) and rattled ({rattle} Å a coordinate), seed {seed}. CHGNet 0.3.0, cell and positions,
largest force {fmax} eV/Å (in ASE's sense, V σ / A included), at most {steps} steps. ASE: the chgnet package's
calculator, FrechetCellFilter, one structure after the other, torch on {cores} threads. matgen: `relax(...)`; the start
of the workers is not counted in the rate, but in the CPU time.

{table}
"""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
