"""Structure prediction: how many true structures a generator finds again from their compositions.

    python benchmarks/csp.py --library DATASET... --test DATASET [--exclude DATASET] [--ways recipe shipped library]
        [--hybrid 1 4] [--models flow-mp20 ...] [--settings steps=50 annealing=4,churn=0.1 ...] [--answers 1 5]
        [--n 500] [--max-atoms 20] [--out benchmarks/csp.md]

``--library`` are ingested data sets whose structures are the templates of retrieval, without any id of ``--test`` and
``--exclude``. Each test structure is asked for by the composition and number of atoms of its cell. ``--ways`` are the
rankers of retrieval (``recipe`` goes by chemical similarity alone); ``--hybrid`` relaxes so many answers of retrieval
with CHGNet and takes the lowest in energy; ``--models`` are further generators by name, each
with its default settings and with each of ``--settings``.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.data.request import Request
from matgen.data.structures import from_batch, pack, read_structures
from matgen.errors import ConfigError
from matgen.evaluate.interval import estimate, share
from matgen.evaluate.structure_prediction import ANGLE_TOL, LTOL, STOL, match
from matgen.execution import Pool
from matgen.generators.base import load_generator
from matgen.generators.hybrid import Hybrid
from matgen.generators.periodic import PeriodicGenerator
from matgen.generators.retrieval import Retrieval
from matgen.runtime import Streams, limit_threads, versions, workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from pymatgen.core import Structure

    from matgen.generators.base import Generator

RANKERS = {"recipe": "none", "shipped": "shipped", "library": "library"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", nargs="+", type=Path, required=True, help="data sets or structure files")
    parser.add_argument("--test", type=Path, required=True, help="data set or structure file")
    parser.add_argument("--exclude", type=Path, help="data set whose ids may not be templates either")
    parser.add_argument("--ways", nargs="*", choices=list(RANKERS), default=["recipe", "shipped"])
    parser.add_argument("--hybrid", nargs="*", type=int, default=[], help="answers among which energies choose")
    parser.add_argument("--models", nargs="*", default=[], help="further generators by name")
    parser.add_argument("--settings", nargs="*", default=[], help="of the sampling of --models, NAME=VALUE,...")
    parser.add_argument("--answers", nargs="+", type=int, default=[1], help="match rates among so many answers")
    parser.add_argument("--n", type=int, help="only so many test structures, drawn with --seed")
    parser.add_argument("--max-atoms", type=int, default=20, help="largest template")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file to which the result is appended")
    args = parser.parse_args()
    limit_threads(1)
    table, test = read(args.test)
    forbidden = set(table["id"]) | (set(read(args.exclude)[0]["id"]) if args.exclude else set())
    structures, hull = library(args.library, forbidden, args.max_atoms)
    if args.n:
        test = [test[i] for i in np.random.default_rng(args.seed).permutation(len(test))[: args.n]]
    rows = [row for name, generator in ways(args, structures, hull) for row in measure(name, generator, test, args)]
    text = report(args, len(structures), len(test), rows)
    print(text)
    if args.out:
        with args.out.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def read(path: Path) -> tuple[pd.DataFrame, list[Structure]]:
    table, structures = read_structures(path / "structures.parquet" if path.is_dir() else path)
    return table.assign(id=table["id"].astype(str)), structures


def library(paths: Sequence[Path], forbidden: set[str], max_atoms: int) -> tuple[list[Structure], list[float]]:
    """Structures of all data sets, each id once, and their energies above the hull where known."""
    found: dict[str, tuple[Structure, float]] = {}
    for path in paths:
        table, structures = read(path)
        hull = table["e_above_hull"] if "e_above_hull" in table else [float("nan")] * len(table)
        for name, structure, energy in zip(table["id"], structures, hull, strict=True):
            if name not in forbidden and len(structure) <= max_atoms:
                found.setdefault(name, (structure, float(energy)))
    return [s for s, _ in found.values()], [e for _, e in found.values()]


def ways(args: argparse.Namespace, structures: list[Structure], hull: list[float]) -> Iterator[tuple[str, Generator]]:
    for way in args.ways:
        yield f"retrieval, {way}", Retrieval.from_structures(structures, hull, ranker=RANKERS[way])
    for k in args.hybrid:
        yield f"hybrid, lowest of {k}", Hybrid.over(Retrieval.from_structures(structures, hull), candidates=k)
    for name in args.models:
        for settings in ["", *args.settings]:
            yield f"{name}, {settings}" if settings else name, load_generator(name)


def measure(name: str, generator: Generator, test: list[Structure], args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each number of answers."""
    most, answers, pairs = max(args.answers), [], []
    start = time.perf_counter()
    if isinstance(generator, Retrieval) and generator.ranking == "library":
        generator.own_ranker.eval()
    trained = time.perf_counter() - start
    start = time.perf_counter()
    if isinstance(generator, PeriodicGenerator):
        answers = drawn(generator, test, most, args.seed, settings_of(name))
    else:
        for i, true in enumerate(test):
            answers.append(predict(generator, true, most, Streams(args.seed, f"{generator.name}-{i}")))
    seconds = (time.perf_counter() - start) / len(test)
    for i, found in enumerate(answers):
        pairs += [(i, rank, pack([made, test[i]])) for rank, made in enumerate(found)]
    with Pool() as pool:
        results = pool.map(match, [pair for _, _, pair in pairs], name="match", shard=50)
    rms = np.full((len(test), most), np.nan)
    for (i, rank, _), row in zip(pairs, results, strict=True):
        if row.get("rms") is not None:
            rms[i, rank] = row["rms"]
    facts = {"generator": name, "seconds": seconds, "trained": trained, "without": sum(not a for a in answers)}
    return [{**facts, "answers": k, **rates(rms[:, :k])} for k in args.answers]


def settings_of(name: str) -> dict[str, float]:
    """Settings in the name of a row; whole numbers as such."""
    values = dict(part.strip().split("=") for part in name.split(",")[1:])
    return {key: int(value) if value.isdigit() else float(value) for key, value in values.items()}


def drawn(generator: Generator, test: list[Structure], n: int, seed: int, settings: dict[str, float]) -> list[Any]:
    """As :func:`predict`, of generators that draw each answer anew, with all compositions in one call."""
    requests = [request_of(true, 1) for true in test]
    rounds = [
        from_batch(generator.sample_each(requests, rng=Streams(seed, f"{generator.name}-{k}"), **settings))
        for k in range(n)
    ]
    return list(zip(*rounds, strict=True))


def request_of(true: Structure, n: int) -> Request:
    return Request(n=n, formula=true.composition.formula.replace(" ", ""), n_atoms=len(true))


def predict(generator: Generator, true: Structure, n: int, rng: Streams) -> list[Structure]:
    """Answers to a composition, most likely first; none where the generator has nothing for it."""
    try:
        return list(from_batch(generator.sample(request_of(true, n), rng=rng)))
    except ConfigError:
        return []


def rates(rms: np.ndarray) -> dict[str, Any]:
    """Share of test structures that an answer matches, and the mean error of the first answer that does."""
    hit = ~np.isnan(rms)
    first = rms[np.arange(len(rms)), hit.argmax(axis=1)]
    return {"match": share(hit.any(axis=1)), "rmse": estimate(first[hit.any(axis=1)], np.mean)}


def report(args: argparse.Namespace, templates: int, n: int, rows: list[dict[str, Any]]) -> str:
    used = versions()
    lines = [
        f"## {n:,} structures of `{args.test.name}`",
        "",
        f"Library: {templates:,} structures of at most {args.max_atoms} atoms of "
        f"{', '.join(f'`{path.name}`' for path in args.library)}, without any id of the test set. Given: composition "
        f"and number of atoms of the cell. `StructureMatcher(stol={STOL}, ltol={LTOL}, angle_tol={ANGLE_TOL})`; RMSE: "
        "mean over matches in units of (V/A)^(1/3); a composition without answer is no match; 95 % intervals (Wilson, "
        f"bootstrap). {datetime.now(tz=UTC):%Y-%m-%d}, {platform.machine()}, {workers()} cores, Python "
        f"{used['python']}, torch {used['torch']}, pymatgen {used['pymatgen']}.",
        "",
        "| generator | answers | match | 95 % | RMSE | 95 % | without answer | ms each | training, s |",
        "|---|--:|--:|---|--:|---|--:|--:|--:|",
    ]
    for row in rows:
        match_rate, rmse = row["match"], row["rmse"]
        lines.append(
            f"| {row['generator']} | {row['answers']} | {100 * match_rate['share']:.1f} % | "
            f"{100 * match_rate['interval'][0]:.1f} - {100 * match_rate['interval'][1]:.1f} | {rmse['value']:.4f} | "
            f"{rmse['interval'][0]:.4f} - {rmse['interval'][1]:.4f} | {row['without']} | {1000 * row['seconds']:.0f} | "
            f"{row['trained']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
