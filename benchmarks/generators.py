"""How well the VAE reconstructs, and whether the flow's likelihood ranks crystals above shuffled ones.

    python benchmarks/generators.py --structures DATA [--n 160] [--model vae-mp20] [--flow flow-mp20]
        [--coupling normalizing-flow-mp20] [--only likelihood]

``DATA`` are structures that were not learned from, of at most 20 atoms. A shuffled crystal has its elements permuted
among its sites; permutations that give the same crystal again are left out.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from sklearn.metrics import roc_auc_score

from matgen.data.batches import canonical
from matgen.data.request import Request
from matgen.data.structures import from_batch, read_structures, to_batch
from matgen.evaluate.interval import wilson
from matgen.generators.base import load_generator
from matgen.generators.flow import Flow
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

MATCHER = StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", required=True)
    parser.add_argument("--n", type=int, default=160)
    parser.add_argument("--model", default="vae-mp20")
    parser.add_argument("--flow", default="flow-mp20")
    parser.add_argument("--coupling", help="a trained normalizing flow on codes")
    parser.add_argument("--only", choices=["likelihood", "reconstruction"])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_threads(1)
    _, structures = read_structures(args.structures)
    rng = np.random.default_rng(0)
    small = [s for s in structures if len(s) <= 20]
    chosen = [canonical(small[i]) for i in rng.permutation(len(small))[: args.n]]
    print(f"{len(chosen)} structures, {platform.machine()}, 1 thread, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    if args.only != "reconstruction":
        pairs = [(s, twin) for s in chosen if (twin := shuffled(s, rng)) is not None]
        for name in filter(None, [args.flow, args.coupling]):
            likelihood(name, pairs)
    if args.only != "likelihood":
        reconstruction(args.model, args.flow, chosen)


def reconstruction(name: str, flow: str, true: Sequence[Structure]) -> None:
    """Match rate of decoded codes, beside structure prediction by the flow alone."""
    model = load_generator(name)
    asked = [Request(formula=s.composition.formula.replace(" ", ""), n_atoms=len(s)) for s in true]
    codes = model.encode(to_batch(true))
    matched("code alone", true, lambda: model.decode(codes, rng=Streams(0, "reconstruction")))
    matched("code and composition", true, lambda: model.decode(codes, rng=Streams(0, "reconstruction"), requests=asked))
    plain = load_generator(flow)
    matched("composition alone (flow)", true, lambda: plain.sample_each(asked, rng=Streams(0, "reconstruction")))


def matched(label: str, true: Sequence[Structure], make) -> None:  # noqa: ANN001 - a batch from nothing
    start = time.perf_counter()
    made = from_batch(make())
    seconds = time.perf_counter() - start
    distances = [MATCHER.get_rms_dist(a, b) for a, b in zip(made, true, strict=True)]
    found = [d[0] for d in distances if d]
    formula = np.mean([a.composition == b.composition for a, b in zip(made, true, strict=True)])
    print(
        f"{label}: match {len(found) / len(true):.3f}, RMSE {np.mean(found):.3f}, composition right {formula:.3f}, "
        f"{len(true) / seconds:.1f} crystals/s",
        flush=True,
    )


def likelihood(name: str, pairs: Sequence[tuple[Structure, Structure]]) -> None:
    """How crystals rank above shuffled ones: over all pairs, and each against its own twin.

    A flow's density is one *given* the elements, whose level depends on them; so over all pairs, most of which differ
    in composition, levels are compared as well as arrangements. Against its own twin only the arrangement counts.
    """
    model = load_generator(name)
    options = {"rng": torch.Generator} if isinstance(model, Flow) else {}
    start = time.perf_counter()
    values = []
    for group in ([a for a, _ in pairs], [b for _, b in pairs]):
        parts = [group[i : i + 64] for i in range(0, len(group), 64)]
        batches = [to_batch(part) for part in parts]
        drawn = [{key: make().manual_seed(0) for key, make in options.items()} for _ in batches]
        with torch.no_grad():
            parts = [model.log_prob(batch, **seeded) for batch, seeded in zip(batches, drawn, strict=True)]
        values.append(torch.cat(parts).numpy())
    seconds = time.perf_counter() - start
    sizes = np.array([len(s) for s, _ in pairs])
    per_atom = np.concatenate(values) / np.concatenate([sizes, sizes])
    labels = np.repeat([1, 0], len(pairs))
    above = values[0] > values[1]
    low, high = wilson(int(above.sum()), len(pairs))
    print(
        f"likelihood of {name}: AUC over all pairs {roc_auc_score(labels, per_atom):.3f}, above its own twin "
        f"{above.mean():.3f} ({low:.3f} - {high:.3f}) of {len(pairs)}, {2 * len(pairs) / seconds:.1f} crystals/s",
        flush=True,
    )


def shuffled(structure: Structure, rng: np.random.Generator) -> Structure | None:
    """Elements permuted among the sites; None where ten permutations all give the same crystal."""
    for _ in range(10):
        twin = structure.copy()
        for i, j in enumerate(rng.permutation(len(structure))):
            twin.replace(i, structure[int(j)].specie)
        if not MATCHER.fit(structure, twin):
            return twin
    return None


if __name__ == "__main__":
    main()
