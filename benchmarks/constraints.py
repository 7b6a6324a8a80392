"""Whether generators keep to what they are asked, and what that costs.

    python benchmarks/constraints.py [--n 1000] [--groups-n 34] [--large 300] [--turns 5] [--training DATA]
        [--kept FILE] [--model NAME ...] [--part exact neutral groups guidance shells cost] [--config '{"steps": 1}']

``n`` samples a condition, ``groups-n`` for each of 30 space groups, ``large`` cells of 17 to 20 atoms for guidance.
``training`` are structures, a file or an ingested data set, on whose compositions the same rule of neutrality is
counted. ``kept`` is a file of results: what stands there is not measured again, so a run that was stopped goes on.
Accepted is the share of draws that a generator did not draw anew. Times are CPU time of this process; the part on cost
gives wall time, too, of ``turns`` batches of each kind in turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
import torch

from matgen.constraints.allowed_elements import RequiredElements
from matgen.constraints.base import CONSTRAINTS
from matgen.constraints.composition import ChemicalSystem, Formula
from matgen.constraints.coordination import Coordination
from matgen.constraints.minimum_distance import MinDistance
from matgen.constraints.specification import build_acting
from matgen.data.request import Request
from matgen.data.structures import from_batch, read_structures
from matgen.data.symmetry import crystal_system
from matgen.errors import ConfigError
from matgen.evaluate.interval import wilson
from matgen.evaluate.validity import PUBLISHED, compositional, structural
from matgen.generators.base import load_generator
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint
    from matgen.generators.base import Generator

MODELS = ("flow-mp20", "diffusion-mp20", "gpt-mp20", "vae-mp20", "random-symmetric", "retrieval")
PARTS = ("exact", "neutral", "groups", "guidance", "shells", "cost")
FORMULAS = ("SrTiO3", "NaCl", "Li2MnO3", "MgAl2O4", "BaTiO3", "GaAs", "LiFePO4", "Fe2O3")
SYSTEMS = ("Mg-O", "Ba-O-Ti", "Ga-N", "Li-Mn-O", "Cs-I-Sn", "Al-Ni")
SIZES = (3, 5, 8, 10, 14, 20)
GROUPS = (1, 2, 8, 11, 12, 14, 15, 36, 51, 62, 63, 71, 99, 123, 129, 139, 140, 148, 160, 164, 166)
GROUPS += (176, 187, 191, 194, 198, 216, 221, 225, 227)
SHELLS = (("MgTiO3", {"ranges": ["Ti 6"]}), ("Li2SiO3", {"ranges": ["Si 4"]}), (None, {"low": 2, "high": 8}))
"""Formulas with the coordination that is wanted in them; ranges of every element without one."""
BATCH = 100
NEUTRAL = {"charge_neutral": {"oxidation_states": "smact14", "mixed_valence": False}}
SPACED = {"min_distance": {"absolute": 0.5, "radius_factor": 0.6}}
SIX = (NEUTRAL, SPACED, "volume_per_atom", "density", "elements", {"n_elements": {"low": 2, "high": 5}})
WINDOW = {"property_window": {"property": "band_gap", "low": 1.0, "high": 3.0, "risk": 0.3}}
SHELL = {"coordination": {"low": 2, "high": 8}}
GUIDING = (SPACED, "volume_per_atom", "density", "cell_shape", SHELL, "bond_valence", WINDOW)
ACTING = {
    "six constraints": SIX,
    "coordination alone": (SHELL,),
    "property_window alone": (WINDOW,),
    "all seven penalties": GUIDING,
    "all seven penalties and three masks": (*GUIDING, NEUTRAL, "elements", SIX[-1]),
}
"""What acts in the measurement of cost; the seven are all constraints that have a penalty for guidance."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--groups-n", type=int, default=7)
    parser.add_argument("--large", type=int, default=300)
    parser.add_argument("--turns", type=int, default=5, help="of the measurement of cost")
    parser.add_argument("--acting", nargs="+", default=list(ACTING), choices=ACTING, help="of the measurement of cost")
    parser.add_argument("--training")
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument("--part", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--config", type=json.loads, default={}, help="of a generator without weights, as JSON")
    parser.add_argument("--kept", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_threads(1)
    print(f"{platform.machine()}, 1 thread, no GPU, {datetime.now(UTC):%Y-%m-%d}, n {args.n}", flush=True)
    if args.training and "neutral" in args.part:
        inside = Path(args.training) / "structures.parquet"
        _, known = read_structures(inside if inside.exists() else args.training)
        good = compositional(known, PUBLISHED)
        print(f"neutral in the training data: {rate(good.sum(), len(good))}", flush=True)
    for name in args.model:
        model = load_generator(name, **args.config)
        for part in args.part:
            PART[part](model, name, args)


def exact(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Violations of what is asked, counted by constraints that know nothing of the generator."""
    cases: list[tuple[str, list[Request], list[Any], list[Callable[[Structure], bool]]]] = [
        ("formula", [Request(formula=f) for f in FORMULAS], [], [passing(Formula(f)) for f in FORMULAS]),
        ("number of atoms", [Request(n_atoms=a) for a in SIZES], [], [lambda s, a=a: len(s) == a for a in SIZES]),
        (
            "chemical system",
            [Request(chemical_system=c) for c in SYSTEMS],
            [],
            [passing(ChemicalSystem(c)) for c in SYSTEMS],
        ),
        (
            "required elements (O, Ti)",
            [Request()],
            [{"required_elements": {"required": ["O", "Ti"]}}],
            [passing(RequiredElements(("O", "Ti")))],
        ),
        (
            "forbidden elements (O, Pb, Cd, Hg, As)",
            [Request()],
            [{"elements": {"forbidden": ["O", "Pb", "Cd", "Hg", "As"]}}],
            [lambda s: not {"O", "Pb", "Cd", "Hg", "As"} & {e.symbol for e in s.composition}],
        ),
    ]
    for label, requests, specs, tests in cases:
        broken = drawn = attempts = 0
        each = -(-args.n // len(requests))
        for request, test in zip(requests, tests, strict=True):
            found = kept(
                args,
                name,
                "exact",
                f"{label} {request}",
                lambda r=request, t=test, k=specs, e=each: counted(model, r, e, k, t),
            )
            if found is not None:
                broken, drawn, attempts = broken + found[0], drawn + found[1], attempts + found[2]
        if drawn:
            print(f"| {name} | {label} | {broken} of {drawn} | {drawn / attempts:.0%} |", flush=True)


def counted(
    model: Generator, request: Request, n: int, specs: Sequence[Any], test: Callable[[Structure], bool]
) -> list[int]:
    """Violations, samples, and draws that they took."""
    made, attempts = draw(model, request, n, build_acting(specs))
    return [sum(not test(s) for s in made), len(made), sum(attempts)]


def neutral(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Composition validity with and without the mask, and uniqueness of formulas."""
    for label, specs in (("no mask", []), ("neutral by mask", [NEUTRAL])):
        found = kept(args, name, "neutral", label, lambda k=specs: compositions(model, args.n, k))
        if found is not None:
            good, n, different, attempts = found
            print(f"| {name} | {label} | {rate(good, n)} | {different / n:.1%} | {n / attempts:.0%} |", flush=True)


def compositions(model: Generator, n: int, specs: Sequence[Any]) -> list[int]:
    """Valid compositions, samples, different formulas, draws."""
    made, attempts = draw(model, Request(), n, build_acting(specs))
    different = len({s.composition.reduced_formula for s in made})
    return [int(compositional(made, PUBLISHED).sum()), len(made), different, sum(attempts)]


def groups(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Space groups found by spglib at 0.01 Å, by crystal system, with the share of draws that were accepted."""
    if "space_group" not in model.conditions:
        return
    found: dict[str, np.ndarray] = {}
    for group in GROUPS:
        counts = kept(args, name, "groups", f"{group}", lambda g=group: symmetric(model, g, args.groups_n))
        if counts is not None:
            right, n, attempts, _ = counts
            print(f"  {name}, {group}: {right} of {n}, {n / attempts:.0%} accepted", flush=True)
            system = crystal_system(group)
            found[system] = found.get(system, np.zeros(4, dtype=int)) + counts
    for label, (right, n, attempts, valid) in (*found.items(), ("all", sum(found.values(), np.zeros(4, dtype=int)))):
        if n:
            print(f"| {name} | {label} | {rate(right, n)} | {n / attempts:.0%} | {valid / n:.1%} |", flush=True)


def symmetric(model: Generator, group: int, n: int) -> list[int]:
    """Samples of the space group, samples, draws, structurally valid samples."""
    made, attempts = draw(model, Request(space_group=group), n, [])
    return [sum(spacegroup(s) == group for s in made), len(made), sum(attempts), int(structural(made).sum())]


def guidance(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Failures among the largest cells, without and with guidance by the minimum distance."""
    if "penalty" not in model.acts:
        return
    for label, specs in (("none", []), ("by min_distance", [SPACED])):
        found = kept(args, name, "guidance", label, lambda k=specs: large(model, args.large // 4, k))
        if found is not None:
            invalid, close, n, seconds = found
            print(
                f"| {name} | {label} | {invalid}: {rate(invalid, n)} | {close}: {rate(close, n)} "
                f"| {seconds / n * 1000:.0f} ms |",
                flush=True,
            )


def large(model: Generator, each: int, specs: Sequence[Any]) -> list[float]:
    """Invalid cells of 17 to 20 atoms, cells with atoms closer than guidance wants, cells, CPU seconds."""
    made: list[Structure] = []
    start = time.process_time()
    for size in (17, 18, 19, 20):
        made += draw(model, Request(n_atoms=size), each, build_acting(specs))[0]
    seconds = time.process_time() - start
    wide = MinDistance(**SPACED["min_distance"]).check(made).passed
    return [int((~structural(made)).sum()), int((~wide).sum()), len(made), seconds]


def shells(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Samples with the wanted coordination, without and with guidance by it."""
    if "penalty" not in model.acts:
        return
    for formula, wanted in SHELLS:
        for label, specs in (("none", []), ("by coordination", [{"coordination": wanted}])):
            rule = Coordination(**wanted)
            key = f"{formula} {wanted} {label}"
            found = kept(
                args, name, "shells", key, lambda f=formula, k=specs, r=rule: coordinated(model, f, args.n, k, r)
            )
            if found is not None:
                right, valid, n, seconds = found
                print(
                    f"| {name} | {formula}, {wanted} | {label} | {rate(right, n)} | {valid / n:.1%} "
                    f"| {seconds / n * 1000:.0f} ms |",
                    flush=True,
                )


def coordinated(model: Generator, formula: str | None, n: int, specs: Sequence[Any], rule: Constraint) -> list[float]:
    """Samples that pass the rule, structurally valid samples, samples, CPU seconds."""
    start = time.process_time()
    made, _ = draw(model, Request(formula=formula), n, build_acting(specs))
    seconds = time.process_time() - start
    return [int(rule.check(made).passed.sum()), int(structural(made).sum()), len(made), seconds]


def cost(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Time of samples with no constraint and with some, in turns: ratio of the sums, and the least and largest one."""
    if "penalty" not in model.acts:
        return
    guiding = {c.name for c in build_acting(GUIDING)}
    every = {n for n, kind in CONSTRAINTS if kind.guides and "penalty" in kind.roles()}
    if guiding != every:
        raise SystemExit(f"the cost part leaves out {sorted(every - guiding)}")
    sets = {"none": [], **{label: build_acting(ACTING[label]) for label in args.acting}}
    for constraints in sets.values():  # tables and surrogates are read once
        model.sample(Request(n=2), rng=Streams(0, "cost"), constraints=constraints)
    rounds = []
    for turn in range(args.turns):
        rounds.append({label: seconds(model, turn, c) for label, c in sets.items()})
        print(f"  {name}, CPU s: {', '.join(f'{k} {v[0]:.1f}' for k, v in rounds[-1].items())}", flush=True)
    times = {label: np.array([each[label] for each in rounds]).T for label in sets}
    for label in args.acting:
        shown = []
        for own, free in zip(times[label], times["none"], strict=True):
            turns = own / free - 1
            shown.append(f"{own.sum() / free.sum() - 1:+.0%} ({turns.min():.0%} to {turns.max():.0%})")
        print(f"| {name} | {label} | {shown[0]} | {shown[1]} |", flush=True)


def seconds(model: Generator, turn: int, constraints: Sequence[Constraint]) -> tuple[float, float]:
    """CPU time and wall time of a batch of samples."""
    before = time.process_time(), time.perf_counter()
    model.sample(Request(n=BATCH), rng=Streams(turn, "cost"), constraints=constraints)
    return time.process_time() - before[0], time.perf_counter() - before[1]


def draw(
    model: Generator, request: Request, n: int, constraints: Sequence[Constraint]
) -> tuple[list[Structure], list[int]]:
    """Samples, and how often each was drawn."""
    made: list[Structure] = []
    attempts: list[int] = []
    for start in range(0, n, BATCH):
        asked = Request(**{**vars(request), "n": min(BATCH, n - start)})
        batch = model.sample(asked, rng=Streams(0, f"constraints {request}", start), constraints=constraints)
        made += from_batch(batch)
        attempts += batch.attempts.tolist() if "attempts" in batch else [1] * asked.n
    return made, attempts


def kept(args: argparse.Namespace, name: str, part: str, label: str, measure: Callable[[], list[Any]]) -> Any:
    """A measurement, from the file of results where it is there; None where the generator refuses."""
    size = {"groups": args.groups_n, "guidance": args.large}.get(part, args.n)
    key = f"{name} | {part} | {label} | {size}"
    written = args.kept.read_text().splitlines() if args.kept and args.kept.exists() else []
    for row in map(json.loads, written):
        if row["key"] == key:
            return row["found"]
    try:
        found = measure()
    except ConfigError as error:
        print(f"{name}, {label}: {error}", flush=True)
        return None
    if args.kept:
        with args.kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "found": found}) + "\n")
    return found


def passing(constraint: Constraint) -> Callable[[Structure], bool]:
    return lambda structure: bool(constraint.check([structure]).passed[0])


def spacegroup(structure: Structure) -> int:
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    data = spglib.get_symmetry_dataset(cell, symprec=0.01)
    return 0 if data is None else data.number


def rate(hits: int, n: int) -> str:
    low, high = wilson(int(hits), int(n))
    return f"{hits / n:.1%} ({low:.1%} to {high:.1%})"


PART = {"exact": exact, "neutral": neutral, "groups": groups, "guidance": guidance, "shells": shells, "cost": cost}

if __name__ == "__main__":
    with torch.no_grad():
        main()
