"""Does the causal transformer of crystals give what is asked, and does the masked one guess the element of a site?

    python benchmarks/crystal_transformers.py requests [--model gpt-mp20] [--n 1000]
    python benchmarks/crystal_transformers.py groups [--model gpt-mp20] [--each 4]
    python benchmarks/crystal_transformers.py fill --structures DATA --model FOLDER [--n 300]

``requests`` counts samples that break formula, number of atoms, chemical system, or a constraint on elements.
``groups`` asks for 30 space groups of all seven crystal systems and looks the symmetry up again at 0.01 Å.
``fill`` hides the element of one orbit in each crystal of ``DATA``, which were not learned from.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition

from matgen.constraints.specification import build_constraints
from matgen.data.request import Request
from matgen.data.structures import from_batch, read_structures
from matgen.data.symmetry import REFINED_SYMPREC, crystal_system, space_group_number
from matgen.errors import MatgenError
from matgen.evaluate.interval import wilson
from matgen.generators.base import load_generator
from matgen.generators.filling import fill_site
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from pymatgen.core import Structure

FORMULAS = ("SrTiO3", "MgAl2O4", "Li3PO4", "GaAs", "CaTiSiO5", "Fe2O3", "K2PtCl6", "BaSO4", "TiNi", "Cu2ZnSnS4")
SYSTEMS = ("Mg-O", "Li-P-S", "Ba-Ti-O", "Fe-Ni", "Na-Cl", "Ca-Si-O", "K-Mn-F", "Ga-In-As", "Sr-Fe-Mo-O", "Zr-Ni-Sn")
SIZES = (1, 2, 3, 5, 8, 10, 12, 14, 17, 20)
GROUPS = (1, 2, 4, 11, 12, 14, 15, 36, 62, 63, 65, 71, 74, 82, 87, 123, 129, 136, 139, 140)
GROUPS += (148, 160, 164, 166, 186, 187, 194, 216, 221, 225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("requests", "groups", "fill"))
    parser.add_argument("--model")
    parser.add_argument("--structures")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--each", type=int, default=4)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_threads(1)
    print(f"{args.what}, {platform.machine()}, 1 thread, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    if args.what == "requests":
        requests(args.model or "gpt-mp20", args.n)
    elif args.what == "groups":
        groups(args.model or "gpt-mp20", args.each)
    else:
        fill(args.model, args.structures, args.n)


def requests(name: str, n: int) -> None:
    """Violations of formula, number of atoms, chemical system and constraints on elements."""
    model = load_generator(name)
    each = n // 40
    asked = [Request(formula=f) for f in FORMULAS] + [Request(chemical_system=s) for s in SYSTEMS]
    asked += [Request(n_atoms=a) for a in SIZES]
    made = draw(model, [request for request in asked for _ in range(each)])
    broken = sum(not kept(s, r) for s, r in zip(made, [r for r in asked for _ in range(each)], strict=True))
    rules = build_constraints(
        [
            {"elements": {"exclude": ["toxic", "radioactive"]}},
            {"required_elements": {"required": ["O"]}},
            "charge_neutral",
        ]
    )
    ruled = draw(model, [Request()] * (10 * each), rules)
    failed = sum(int((~rule.check(ruled).passed).sum()) for rule in rules)
    print(f"broken requests: {broken} of {len(made)}; broken constraints: {failed} of {len(ruled)}")


def kept(structure: Structure, request: Request) -> bool:
    """Whether a structure is what was asked for."""
    if request.formula:
        return bool(structure.composition.reduced_formula == Composition(request.formula).reduced_formula)
    if request.chemical_system:
        return sorted(el.symbol for el in structure.composition) == sorted(request.elements)
    return len(structure) == request.n_atoms


def groups(name: str, each: int) -> None:
    """Agreement of the wanted space group with the one that is found."""
    model = load_generator(name)
    asked = [Request(space_group=group) for group in GROUPS for _ in range(each)]
    made = draw(model, asked)
    found = [space_group_number(s, REFINED_SYMPREC) == r.space_group for s, r in zip(made, asked, strict=True)]
    systems = {crystal_system(group) for group in GROUPS}
    low, high = wilson(sum(found), len(found))
    print(f"{len(GROUPS)} groups of {len(systems)} systems: {sum(found)} of {len(found)} ({low:.3f} - {high:.3f})")
    print("missed:", sorted({r.space_group for r, hit in zip(asked, found, strict=True) if not hit}))


def draw(model, asked, constraints=()) -> list[Structure]:  # noqa: ANN001 - any generator
    """One structure a request, in chunks, with the speed."""
    begin, busy = time.perf_counter(), time.process_time()
    made: list[Structure] = []
    for i in range(0, len(asked), model.chunk):
        rng = Streams(7, model.name, i)
        made += from_batch(model.sample_each(asked[i : i + model.chunk], rng=rng, constraints=constraints))
    seconds, used = time.perf_counter() - begin, time.process_time() - busy
    print(f"{len(made) / seconds:.1f} crystals a second, {len(made) / used:.1f} a second of processor time", flush=True)
    return made


def fill(name: str, source: str, n: int) -> None:
    """How often the hidden element is the first, or among the first five, of the guesses."""
    _, structures = read_structures(source)
    rng = np.random.default_rng(0)
    model = load_generator(name)
    ranks, letters, common, left_out = [], [], [], 0
    for i in rng.permutation(len(structures))[:n]:
        site = int(rng.integers(len(structures[i])))
        try:
            found = fill_site(structures[i], site, model)
        except MatgenError:
            left_out += 1
            continue
        ranks.append(int(found.elements["is_there"].to_numpy().argmax()))
        letters.append(int(found.letters["is_there"].to_numpy().argmax()))
        common.append(structures[i][site].specie.symbol == "O")
    for label, hits in (
        ("element first", np.array(ranks) == 0),
        ("element among five", np.array(ranks) < 5),
        ("letter first", np.array(letters) == 0),
        ("always oxygen", np.array(common)),
    ):
        low, high = wilson(int(hits.sum()), len(hits))
        print(f"{label}: {hits.mean():.3f} ({low:.3f} - {high:.3f}) of {len(hits)}; {left_out} could not be described")


if __name__ == "__main__":
    main()
