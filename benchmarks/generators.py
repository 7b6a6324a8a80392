"""How well the VAE reconstructs, whether likelihoods rank crystals above shuffled ones, what a GAN's children inherit.

    python benchmarks/generators.py --structures DATA [--n 160] [--model vae-mp20] [--flow flow-mp20]
        [--likelihoods flow-mp20 normalizing-flow-mp20] [--repeats 1] [--gan gan-mp20]
        [--only likelihood]

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
from matgen.evaluate.validity import compositional
from matgen.generators.arrangement import arrangement_margin
from matgen.generators.base import load_generator
from matgen.generators.flow import Flow
from matgen.generators.vae_chemistry import drawn
from matgen.generators.vae_decoding import apportion
from matgen.runtime import Streams, limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pymatgen.core import Structure
    from torch import Tensor
    from torch_geometric.data import Batch

    from matgen.generators.base import Generator
    from matgen.generators.vae import VAE

MATCHER = StructureMatcher(stol=0.5, ltol=0.3, angle_tol=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", required=True)
    parser.add_argument("--n", type=int, default=160)
    parser.add_argument("--model", default="vae-mp20")
    parser.add_argument("--flow", default="flow-mp20")
    parser.add_argument("--likelihoods", nargs="+", default=["flow-mp20", "normalizing-flow-mp20"])
    parser.add_argument("--repeats", type=int, default=1, help="estimates of each likelihood, with other probes")
    parser.add_argument("--gan", default="gan-mp20")
    parser.add_argument("--only", choices=["likelihood", "reconstruction", "mixing"])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    limit_threads(1)
    _, structures = read_structures(args.structures)
    rng = np.random.default_rng(0)
    small = [s for s in structures if len(s) <= 20]
    chosen = [canonical(small[i]) for i in rng.permutation(len(small))[: args.n]]
    print(f"{len(chosen)} structures, {platform.machine()}, 1 thread, {datetime.now(UTC):%Y-%m-%d}", flush=True)
    if args.only in (None, "likelihood"):
        pairs = [(s, twin) for s in chosen if (twin := shuffled(s, rng)) is not None]
        for name in args.likelihoods:
            likelihood(name, pairs, args.repeats)
    if args.only in (None, "reconstruction"):
        reconstruction(args.model, args.flow, chosen)
    if args.only in (None, "mixing"):
        half = len(chosen) // 2
        mixing(args.gan, chosen[:half], chosen[half : 2 * half])


def reconstruction(name: str, flow: str, true: Sequence[Structure]) -> None:
    """Match rate of decoded codes, beside structure prediction by the flow alone."""
    model = load_generator(name)
    asked = [Request(formula=s.composition.formula.replace(" ", ""), n_atoms=len(s)) for s in true]
    codes = model.encode(to_batch(true))
    compositions(model, true)
    matched("code alone", true, lambda: model.decode(codes, rng=Streams(0, "reconstruction")))
    matched("code and composition", true, lambda: model.decode(codes, rng=Streams(0, "reconstruction"), requests=asked))
    plain = load_generator(flow)
    matched("composition alone (flow)", true, lambda: plain.sample_each(asked, rng=Streams(0, "reconstruction")))


@torch.no_grad()
def compositions(model: VAE, true: Sequence[Structure]) -> None:
    """How often codes tell the composition: read by the heads, and the nearest composition, without and with noise."""
    wanted = torch.stack([torch.bincount(torch.tensor(s.atomic_numbers), minlength=119).float() for s in true])
    mean, log_variance = model.chemistry(wanted)
    elements = model.elements.nonzero()[:, 0]
    for label, codes in {
        "mean": mean,
        "drawn": drawn(mean, log_variance, torch.Generator().manual_seed(0)),
    }.items():
        shares, sizes = model.chemistry.log_shares(codes).exp().double(), model.chemistry.size_logits(codes).argmax(1)
        read = [apportion(share.numpy(), int(size)) for share, size in zip(shares, sizes, strict=True)]
        counts = [torch.bincount(torch.from_numpy(numbers), minlength=119).float() for numbers in read]
        near = [model.chemistry.nearest(code, start, elements) for code, start in zip(codes, counts, strict=True)]
        found = {"read": torch.stack(counts), "nearest": torch.stack(near)}
        told = ", ".join(f"{how} {counted((one == wanted).all(1))}" for how, one in found.items())
        print(f"composition from the {label} of the code: {told}", flush=True)


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


def mixing(name: str, first: Sequence[Structure], second: Sequence[Structure]) -> None:
    """What children share with their parents, which are what the decoder makes of the parents' codes.

    Children are those of the GAN at each depth, and of the autoencoder's two halves of a code.

    Parents and children of a pair are decoded from the same noise. Nearer by composition: Σ |difference| of the shares
    of the elements; by shape: of lengths over the cube root of the volume and of angles in radians, reduced cells.
    """
    model = load_generator(name)
    codes = [model.encode(to_batch(structures)) for structures in (first, second)]
    decoded = [from_batch(model.decode(c, rng=Streams(0, "mixing"))) for c in codes]
    asked = [Request(formula=s.composition.formula.replace(" ", ""), n_atoms=len(s)) for s in decoded[0]]
    children = {f"depth {depth} of {model.depth}": model.mix(*codes, depth) for depth in range(model.depth + 1)}
    children["halves of the codes"] = model.autoencoder.crossed(*codes)
    for label, child in children.items():
        free = from_batch(model.decode(child, rng=Streams(0, "mixing")))
        given = from_batch(model.decode(child, rng=Streams(0, "mixing"), requests=asked))
        pairs = list(zip(free, given, *decoded, strict=True))
        found = {
            "composition nearer the first": [nearer(c, a, b, shares) for c, _, a, b in pairs],
            "anonymous formula of the first": [same_kind(c, a) for c, _, a, _ in pairs],
            "of the second": [same_kind(c, b) for c, _, _, b in pairs],
            "shape nearer the second": [nearer(c, b, a, shape) for c, _, a, b in pairs],
            "the same with the formula of the first asked": [nearer(c, b, a, shape) for _, c, a, b in pairs],
            "smact14": compositional(free),
        }
        told = ", ".join(f"{what} {counted(hits)}" for what, hits in found.items())
        print(f"{label}, {len(pairs)} pairs: {told}", flush=True)


def counted(hits: Iterable[bool]) -> str:
    """A share with its interval of 95 %."""
    found = [bool(hit) for hit in hits]
    low, high = wilson(sum(found), len(found))
    return f"{np.mean(found):.3f} ({low:.3f} - {high:.3f})"


def nearer(child: Structure, one: Structure, other: Structure, seen: Callable[[Structure], np.ndarray]) -> bool:
    """Whether a child is nearer to one parent than to the other in what is seen of it."""
    near, far = (float(np.abs(seen(child) - seen(parent)).sum()) for parent in (one, other))
    return near < far


def same_kind(one: Structure, other: Structure) -> bool:
    return one.composition.anonymized_formula == other.composition.anonymized_formula


def shares(structure: Structure) -> np.ndarray:
    """(119,) shares of the elements."""
    return np.bincount(structure.atomic_numbers, minlength=119) / len(structure)


def shape(structure: Structure) -> np.ndarray:
    """(6,) of the reduced cell, without its volume."""
    lattice = structure.lattice.get_niggli_reduced_lattice()
    return np.concatenate([np.array(lattice.abc) / lattice.volume ** (1 / 3), np.radians(lattice.angles)])


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
