"""Whether generators keep to what they are asked, and what that costs.

    python benchmarks/constraints.py [--n 1000] [--groups-n 34] [--large 300] [--training DATA]
        [--model NAME ...] [--part exact neutral groups guidance cost]

``n`` samples a condition, ``groups-n`` for each of 30 space groups, ``large`` cells of 17 to 20 atoms for guidance.
``training`` are structures on whose compositions the same rule of neutrality is counted. Times are CPU time of this
process.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
import torch

from matgen.constraints.allowed_elements import RequiredElements
from matgen.constraints.composition import ChemicalSystem, Formula
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

MODELS = ("flow-mp20", "diffusion-mp20", "random-symmetric", "retrieval")
PARTS = ("exact", "neutral", "groups", "guidance", "cost")
FORMULAS = ("SrTiO3", "NaCl", "Li2MnO3", "MgAl2O4", "BaTiO3", "GaAs", "LiFePO4", "Fe2O3")
SYSTEMS = ("Mg-O", "Ba-O-Ti", "Ga-N", "Li-Mn-O", "Cs-I-Sn", "Al-Ni")
SIZES = (3, 5, 8, 10, 14, 20)
GROUPS = (1, 2, 8, 11, 12, 14, 15, 36, 51, 62, 63, 71, 99, 123, 129, 139, 140, 148, 160, 164, 166)
GROUPS += (176, 187, 191, 194, 198, 216, 221, 225, 227)
BATCH, TURNS = 100, 3
NEUTRAL = {"charge_neutral": {"oxidation_states": "smact14", "mixed_valence": False}}
SPACED = {"min_distance": {"absolute": 0.5, "radius_factor": 0.6}}
ALL_ON = (NEUTRAL, SPACED, "volume_per_atom", "density", "elements", {"n_elements": {"low": 2, "high": 5}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--groups-n", type=int, default=7)
    parser.add_argument("--large", type=int, default=300)
    parser.add_argument("--training")
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument("--part", nargs="+", default=PARTS, choices=PARTS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_threads(1)
    print(f"{platform.machine()}, 1 thread, no GPU, {datetime.now(UTC):%Y-%m-%d}, n {args.n}", flush=True)
    if args.training and "neutral" in args.part:
        _, known = read_structures(args.training)
        print(f"neutral in the training data: {rate(compositional(known, PUBLISHED))}", flush=True)
    for name in args.model:
        model = load_generator(name)
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
        broken = drawn = 0
        each = -(-args.n // len(requests))
        for request, test in zip(requests, tests, strict=True):
            try:
                made, _ = draw(model, request, each, build_acting(specs))
            except ConfigError as error:
                print(f"{name}, {label}: {error}", flush=True)
                continue
            broken += sum(not test(s) for s in made)
            drawn += len(made)
        print(f"| {name} | {label} | {broken} of {drawn} |", flush=True)


def neutral(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Composition validity with and without the mask, and uniqueness of formulas."""
    for label, specs in (("no mask", []), ("neutral by mask", [NEUTRAL])):
        made, _ = draw(model, Request(), args.n, build_acting(specs))
        different = len({s.composition.reduced_formula for s in made}) / len(made)
        print(f"| {name} | {label} | {rate(compositional(made, PUBLISHED))} | {different:.1%} |", flush=True)


def groups(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Space groups found by spglib at 0.01 Å, by crystal system, with the share of draws that were accepted."""
    found: dict[str, list[tuple[bool, int, bool]]] = {}
    for group in GROUPS:
        try:
            made, attempts = draw(model, Request(space_group=group), args.groups_n, [])
        except ConfigError as error:
            print(f"{name}, {group}: {error}", flush=True)
            continue
        right = [spacegroup(s) == group for s in made]
        rows = list(zip(right, attempts, structural(made).tolist(), strict=True))
        found.setdefault(crystal_system(group), []).extend(rows)
        print(f"  {name}, {group}: {sum(right)} of {len(made)}, {len(made) / sum(attempts):.0%} accepted", flush=True)
    whole = [row for rows in found.values() for row in rows]
    for label, rows in (*found.items(), ("all", whole)):
        kept = np.array([row[0] for row in rows])
        accepted = len(rows) / sum(row[1] for row in rows)
        valid = np.mean([row[2] for row in rows])
        print(f"| {name} | {label} | {rate(kept)} | {accepted:.0%} | {valid:.1%} |", flush=True)


def guidance(model: Generator, name: str, args: argparse.Namespace) -> None:
    """Failures among the largest cells, without and with guidance by the minimum distance."""
    if "penalty" not in model.acts:
        return
    for label, specs in (("none", []), ("by min_distance", [SPACED])):
        made: list[Structure] = []
        start = time.process_time()
        for size in (17, 18, 19, 20):
            made += draw(model, Request(n_atoms=size), args.large // 4, build_acting(specs))[0]
        seconds = time.process_time() - start
        wide = MinDistance(**SPACED["min_distance"]).check(made).passed
        print(
            f"| {name} | {label} | {rate(~structural(made))} | {rate(~wide)} | {seconds / len(made) * 1000:.0f} ms |",
            flush=True,
        )


def cost(model: Generator, name: str, args: argparse.Namespace) -> None:
    """CPU time of a sample with no constraint and with all of them, in turns; the median ratio."""
    if "penalty" not in model.acts:
        return
    acting, ratios = build_acting(ALL_ON), []
    for turn in range(TURNS):
        times = []
        for constraints in ((), acting):
            start = time.process_time()
            model.sample(Request(n=BATCH), rng=Streams(turn, "cost"), constraints=constraints)
            times.append(time.process_time() - start)
        ratios.append(times[1] / times[0])
    spread = f"{min(ratios) - 1:.0%} to {max(ratios) - 1:.0%}"
    print(f"| {name} | all constraints on | +{np.median(ratios) - 1:.0%} ({spread}) |", flush=True)


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


def passing(constraint: Constraint) -> Callable[[Structure], bool]:
    return lambda structure: bool(constraint.check([structure]).passed[0])


def spacegroup(structure: Structure) -> int:
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    data = spglib.get_symmetry_dataset(cell, symprec=0.01)
    return 0 if data is None else data.number


def rate(hits: np.ndarray) -> str:
    low, high = wilson(int(np.sum(hits)), len(hits))
    return f"{np.mean(hits):.1%} ({low:.1%} to {high:.1%})"


PART = {"exact": exact, "neutral": neutral, "groups": groups, "guidance": guidance, "cost": cost}

if __name__ == "__main__":
    with torch.no_grad():
        main()
