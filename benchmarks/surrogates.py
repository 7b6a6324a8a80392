"""Surrogates against baselines on one split: errors, coverage, and what dropping the uncertain ones gains.

Usage (data sets as made by ``matgen data ingest``):

    python benchmarks/surrogates.py --data VAL --data TRAIN_PART --data MPTS_VAL --data MPTS_TEST \
        --exclude MP20_TEST --test MP20_TEST > benchmarks/surrogates.md
    python benchmarks/surrogates.py --shipped-only --test MP20_TEST      # minutes: no baselines, clusters, distortions
    python benchmarks/surrogates.py --baselines-only --data ... --exclude MP20_TEST --test MP20_TEST
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Lattice, Structure
from sklearn.cluster import KMeans

from matgen.data.property import find_property
from matgen.features.composition import fractions
from matgen.runtime import limit_threads
from matgen.surrogates.base import SURROGATES, Prediction
from matgen.surrogates.conformal import Z_LEVEL
from matgen.surrogates.ensemble import DeepEnsemble
from matgen.surrogates.regions import regions
from matgen.surrogates.storage import load_surrogate, shipped
from matgen.surrogates.training import read_values
from matgen.surrogates.validation import linear_prediction, retention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.surrogates.base import Surrogate

BOOTSTRAPS, CLUSTERS, RATTLED = 2000, 5, 800


def interval_of_mean(errors: np.ndarray) -> str:
    """Mean with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = [errors[rng.integers(0, len(errors), len(errors))].mean() for _ in range(BOOTSTRAPS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{errors.mean():.4f} ({low:.4f} to {high:.4f})"


def coverage(prediction: Prediction, values: np.ndarray) -> float:
    """Share of values within the 90 % interval, in %."""
    return 100 * float((np.abs(prediction.mean - values) <= Z_LEVEL * prediction.std).mean())


def kept_errors(errors: np.ndarray, uncertainty: np.ndarray) -> str:
    """Mean errors after dropping the most uncertain 0, 20 ... 80 %, their mean, and the change at the last step."""
    kept = retention(errors, uncertainty)
    rng, changes = np.random.default_rng(0), []
    for _ in range(BOOTSTRAPS):
        drawn = rng.integers(0, len(errors), len(errors))
        *_, before, after = retention(errors[drawn], uncertainty[drawn])
        changes.append(after - before)
    low, high = np.percentile(changes, [2.5, 97.5])
    last = f"{kept[-1] - kept[-2]:+.4f} ({low:+.4f} to {high:+.4f})"
    return " | ".join(f"{mean:.4f}" for mean in [*kept, np.mean(kept)]) + f" | {last}"


def baselines(prop: str, train: Sequence[Structure], values: np.ndarray, test: Sequence[Structure], trees: int) -> dict:
    """Predictions of a constant, a linear model and a random forest on compositions."""
    forest = SURROGATES.get("composition-forest")(find_property(prop), trees=trees)
    forest.fit(train, values, rng=np.random.default_rng(0))
    return {
        "dummy (median)": np.full(len(test), np.median(values)),
        "linear (ridge, composition)": linear_prediction(train, values, test),
        f"random forest (composition, {trees} trees)": forest.predict(test),
    }


def distorted(structures: Sequence[Structure], rattle: float, strain: float) -> list[Structure]:
    """Structures with atoms moved by ``rattle`` Å (normal, each axis) and cells strained by ``strain`` (normal)."""
    rng, found = np.random.default_rng(0), []
    for structure in structures:
        bend = np.eye(3) + rng.normal(0, strain, (3, 3))
        moved = structure.cart_coords + rng.normal(0, rattle, (len(structure), 3))
        cell = Lattice(structure.lattice.matrix @ bend)
        found.append(Structure(cell, structure.species, cell.get_fractional_coords(moved @ bend)))
    return found


def section(prop: str, train: tuple | None, test: tuple, *, trees: int, loaded: bool) -> None:
    """All tables of one property: baselines if there are training rows, shipped models if they are asked."""
    unit = find_property(prop).unit
    found = baselines(prop, *train[:2], test[0], trees) if train else {}
    names = [name for name, card in shipped().items() if loaded and card["property"] == prop]
    models = {name: load_surrogate(name) for name in names}
    found |= {name: model.predict(test[0]) for name, model in models.items()}
    print(f"\n## {find_property(prop).label} ({unit})\n\n{len(test[1])} test rows.\n")
    print("| model | MAE (95 % bootstrap interval) | 90 % interval holds, % | in domain, % |\n|---|---|---|---|")
    for name, answer in found.items():
        if isinstance(answer, Prediction):
            held = f"{coverage(answer, test[1]):.1f} | {100 * answer.in_domain.mean():.1f}"
            print(f"| {name} | {interval_of_mean(np.abs(answer.mean - test[1]))} | {held} |")
        else:
            print(f"| {name} | {interval_of_mean(np.abs(answer - test[1]))} | | |")
    print("\n| MAE after dropping the most uncertain | 0 % | 20 % | 40 % | 60 % | 80 % | mean | last step |")
    print("|---|---|---|---|---|---|---|---|")
    for name, answer in found.items():
        if isinstance(answer, Prediction):
            errors = np.abs(answer.mean - test[1])
            print(f"| {name}, calibrated std | {kept_errors(errors, answer.std)} |")
            spread = models[name].spread(test[0]) if name in models else None
            if spread is not None:
                print(f"| {name}, plain ensemble std | {kept_errors(errors, spread)} |")
    coverage_by_part(models, {name: found[name] for name in models}, test)
    if train and models:
        robustness(models, test)


def coverage_by_part(models: dict[str, Surrogate], answers: dict[str, Prediction], test: tuple) -> None:
    """Share that the interval holds in each region of chemistry, by its own scale and by one for all, and by width."""
    if not models:
        return
    names = regions(test[0])
    print(
        "\n| 90 % interval holds, % | rows | beyond 0.05 of zero, % | "
        + " | ".join(f"{name}, one scale | own scales" for name in models)
        + " |"
    )
    print("|---|--:|--:|" + "--:|--:|" * len(models))
    counts = {name: int((names == name).sum()) for name in set(names)}
    for region in sorted(counts, key=counts.__getitem__, reverse=True):
        chosen, cells = names == region, []
        for name, model in models.items():
            answer, errors = answers[name], model.errors
            wrong = np.abs(answer.mean - test[1])[chosen] / (Z_LEVEL * answer.std[chosen])
            one = errors.scale / errors.regions.get(region, errors.scale)
            cells += [f"{100 * (wrong <= one).mean():.1f}", f"{100 * (wrong <= 1).mean():.1f}"]
        far = 100 * (np.abs(test[1][chosen]) > 0.05).mean()
        print(f"| {region} | {counts[region]:,} | {far:.1f} | " + " | ".join(cells) + " |")
    for name, model in models.items():
        if isinstance(model, DeepEnsemble) and np.isfinite(model.prop.lower):
            off_the_bound(name, model, answers[name], test, names)
    print(
        "\n| 90 % interval holds, %, by fifths from the most certain | 1 | 2 | 3 | 4 | 5 |\n|---|--:|--:|--:|--:|--:|"
    )
    for name, answer in answers.items():
        inside = np.abs(answer.mean - test[1]) <= Z_LEVEL * answer.std
        fifths = np.array_split(inside[np.argsort(answer.std, kind="stable")], 5)
        print(f"| {name} | " + " | ".join(f"{100 * fifth.mean():.1f}" for fifth in fifths) + " |")


def off_the_bound(name: str, model: DeepEnsemble, answer: Prediction, test: tuple, names: np.ndarray) -> None:
    """Share that the interval holds of intermetallics whose answer is off the bound, and by the scale of the others."""
    off = model.regions_of(test[0], answer.mean) != names
    wrong = np.abs(answer.mean - test[1])[off] / (Z_LEVEL * answer.std[off])
    narrow = (
        np.array([model.errors.regions.get(region, model.errors.scale) for region in names[off]]) / model.errors.scale
    )
    mine, others = (f"{100 * (wrong <= limit).mean():.1f} %" for limit in (1, narrow))
    print(f"\n{name}, {off.sum()} intermetallics with an answer off the bound: {mine}; by the others' scale {others}.")


def robustness(models: dict[str, Surrogate], test: tuple) -> None:
    """What distortions do to the shipped structure models."""
    chosen = np.random.default_rng(0).permutation(len(test[1]))[:RATTLED]
    structures, values = [test[0][i] for i in chosen], test[1][chosen]
    print(f"\n| distorted input ({len(chosen)} test rows) | MAE to the relaxed label | coverage, % | in domain, % |")
    print("|---|---|---|---|")
    for name, model in models.items():
        if "graph" not in name:
            continue
        for rattle, strain in ((0.0, 0.0), (0.02, 0.005), (0.05, 0.01), (0.1, 0.02), (0.2, 0.04)):
            answer = model.predict(distorted(structures, rattle, strain))
            held = f"{coverage(answer, values):.1f} | {100 * answer.in_domain.mean():.1f}"
            mae = np.abs(answer.mean - values).mean()
            print(f"| {name}, atoms {rattle} Å, strain {strain} | {mae:.4f} | {held} |")


def clusters_left_out(prop: str, structures: Sequence[Structure], values: np.ndarray) -> None:
    """Coverage on whole regions of chemistry that were not in training, for quick models fitted here."""
    labels = KMeans(CLUSTERS, n_init=3, random_state=0).fit_predict(fractions(structures))
    kinds = {
        "composition-forest": {"trees": 40},
        "composition-ensemble": {"members": 3, "epochs": 15, "batch": 256, "rate": 2e-3},
    }
    print(f"\n### {find_property(prop).label}: leave-cluster-out (k-means, {CLUSTERS} clusters of element fractions)\n")
    print("| model | MAE | 90 % interval holds, % | by cluster, % | in domain, % |\n|---|---|---|---|---|")
    for kind, settings in kinds.items():
        errors, inside, domain, each = [], [], [], []
        for cluster in range(CLUSTERS):
            out = labels == cluster
            model = SURROGATES.get(kind)(find_property(prop), **settings)
            model.fit(
                [s for s, o in zip(structures, out, strict=True) if not o], values[~out], rng=np.random.default_rng(0)
            )
            answer = model.predict([s for s, o in zip(structures, out, strict=True) if o])
            errors.append(np.abs(answer.mean - values[out]))
            inside.append(errors[-1] <= Z_LEVEL * answer.std)
            domain.append(answer.in_domain)
            each.append(f"{100 * inside[-1].mean():.0f}")
        share = 100 * np.concatenate(inside).mean()
        mae, near = np.concatenate(errors).mean(), 100 * np.concatenate(domain).mean()
        print(f"| {kind} | {mae:.4f} | {share:.1f} | {', '.join(each)} | {near:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--exclude")
    parser.add_argument("--test", required=True)
    parser.add_argument("--column", action="append", default=[], help="property=column, if named otherwise")
    parser.add_argument("--property", action="append", help="only these; both by default")
    parser.add_argument("--skip-clusters", action="store_true")
    parser.add_argument("--shipped-only", action="store_true", help="shipped models alone, without --data")
    parser.add_argument("--baselines-only", action="store_true", help="no shipped models, clusters or distortions")
    parser.add_argument("--trees", type=int, default=50, help="of the random forest")
    options = parser.parse_args()
    if bool(options.data) == options.shipped_only:
        parser.error("give --data, or --shipped-only")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    limit_threads(1)
    columns = dict(pair.split("=") for pair in options.column)
    print(f"# Surrogates\n\n`{' '.join(['python', 'benchmarks/surrogates.py', *sys.argv[1:]])}`\n")
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, 2 cores, no GPU, one thread. Protocol: train on the pool,"
    )
    print("test on rows never seen; baselines are fitted here, shipped models are loaded. Intervals: mean ± 1.645 std.")
    for prop in options.property or ("e_form", "band_gap"):
        train = read_values(options.data, columns.get(prop, prop), options.exclude) if options.data else None
        test = read_values(options.test, columns.get(prop, prop))
        section(prop, train, test, trees=options.trees, loaded=not options.baselines_only)
        if train and not (options.skip_clusters or options.baselines_only):
            clusters_left_out(prop, *train[:2])


if __name__ == "__main__":
    main()
