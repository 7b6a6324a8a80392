"""How well the VAE reconstructs, and whether the flow's likelihood ranks crystals above shuffled ones.

    python benchmarks/generators.py --structures DATA [--n 160] [--model vae-mp20] [--flow flow-mp20]
        [--likelihoods flow-mp20 normalizing-flow-mp20] [--repeats 1] [--only likelihood]

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
from matgen.generators.arrangement import arrangement_margin
from matgen.generators.base import load_generator
from matgen.generators.flow import Flow
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure
    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.generators.base import Generator

MATCHER = StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", required=True)
    parser.add_argument("--n", type=int, default=160)
    parser.add_argument("--model", default="vae-mp20")
    parser.add_argument("--flow", default="flow-mp20")
    parser.add_argument("--likelihoods", nargs="+", default=["flow-mp20", "normalizing-flow-mp20"])
    parser.add_argument("--repeats", type=int, default=1, help="estimates of each likelihood, with other probes")
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
        for name in args.likelihoods:
            likelihood(name, pairs, args.repeats)
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


def likelihood(name: str, pairs: Sequence[tuple[Structure, Structure]], repeats: int) -> None:
    """How crystals rank above shuffled ones by each way of comparing densities: over all pairs, and each to its twin.

    A flow's density is one *given* the elements, whose level depends on them; so over all pairs, most of which differ
    in composition, levels are compared as well as arrangements. Against its own twin only the arrangement counts. The
    margin over permuted elements compares arrangements of any compositions; it sees the twin as one arrangement
    among others, each with permutations of its own.
    """
    model = load_generator(name)
    start = time.perf_counter()
    plain, margin = ([[], []], [[], []])
    for found, values in ((plain, density), (margin, margins)):
        for side in (0, 1):
            found[side] = in_parts(lambda batch, seed, values=values: values(model, batch, seed), pairs, side, repeats)
    seconds = time.perf_counter() - start
    sizes = np.array([len(s) for s, _ in pairs])
    print(f"{name}, {len(pairs)} pairs, {repeats} estimates of each, {seconds:.0f} s", flush=True)
    ranked("log density", *plain)
    ranked("log density an atom", *(values / sizes for values in plain))
    ranked("log density a degree of freedom (3 A + 3)", *(values / (3 * sizes + 3) for values in plain))
    varied = np.array([len(s.composition) > 1 for s, _ in pairs])
    ranked("margin over permuted elements, an atom", *(values[varied] for values in margin))


def ranked(label: str, true: np.ndarray, twin: np.ndarray, draws: int = 2_000) -> None:
    """One line: AUC over all pairs with a bootstrap interval over the pairs, and the share above the own twin."""
    labels = np.repeat([1, 0], len(true))

    def auc(rows: np.ndarray) -> float:
        return float(roc_auc_score(labels, np.concatenate([true[rows], twin[rows]])))

    rng = np.random.default_rng(0)
    spread = [auc(rng.integers(0, len(true), len(true))) for _ in range(draws)]
    above = int((true > twin).sum())
    low, high = wilson(above, len(true))
    print(
        f"  {label}: AUC {auc(np.arange(len(true))):.3f} ({np.quantile(spread, 0.025):.3f} - "
        f"{np.quantile(spread, 0.975):.3f}), above its own twin {above / len(true):.3f} ({low:.3f} - {high:.3f})",
        flush=True,
    )


def in_parts(
    values: Callable[[Batch, int], Tensor], pairs: Sequence[tuple[Structure, Structure]], side: int, repeats: int
) -> np.ndarray:
    """Values of one side of the pairs, in batches of similar size, averaged over seeds."""
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][side]))
    found = np.zeros(len(pairs))
    for begin in range(0, len(order), 48):
        rows = order[begin : begin + 48]
        batch = to_batch([pairs[i][side] for i in rows])
        found[rows] = np.mean([values(batch, seed).double().numpy() for seed in range(repeats)], axis=0)
    return found


@torch.no_grad()
def density(model: Generator, batch: Batch, seed: int) -> Tensor:
    """(S,) log density in nats; the seed is that of the trace's probes, where it is estimated."""
    probes = {"rng": torch.Generator().manual_seed(seed)} if isinstance(model, Flow) else {}
    return model.log_prob(batch, **probes)


def margins(model: Generator, batch: Batch, seed: int) -> Tensor:
    """(S,) nats an atom, see :func:`matgen.generators.arrangement.arrangement_margin`."""
    return arrangement_margin(lambda b: density(model, b, seed), batch, torch.Generator().manual_seed(seed))


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
