"""How many evaluations a search needs, and what the loop itself costs; results are kept in benchmarks/search.md.

    python benchmarks/search.py pool perov_5/ --out pool.jsonl
    python benchmarks/search.py fronts perov_5/ --out fronts.jsonl
    python benchmarks/search.py open --out open.jsonl
    python benchmarks/search.py latent data.parquet --out latent.jsonl
    python benchmarks/search.py overhead
    python benchmarks/search.py tuning perov_5/ --out tuning.jsonl
    python benchmarks/search.py table pool.jsonl

Each run of a method with one seed appends one line to the file, and what is there is not run again, so an interrupted
benchmark goes on. The folder holds the three tables of Perov-5 (CDVAE layout); formation energies are divided by the
five atoms of the cell.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import pandas as pd
import typer

from matgen.data.structures import parse, write_structures
from matgen.execution import Serial
from matgen.generators.sampling import sample
from matgen.optimize import optimize
from matgen.optimize.evaluators.ladder import Ladder
from matgen.optimize.results import finished, hypervolumes, is_feasible
from matgen.optimize.spaces.pool import Pool
from matgen.optimize.storage import open_storage

app = typer.Typer(no_args_is_help=True)

FOUND, OF = 5, 10
STEP = 40

GP = {"surrogate": {"model": "gaussian_process", "inputs": "coordinates"}}
METHODS: dict[str, tuple[str, Any, int]] = {
    "surrogate": ("member", "surrogate", 1600),
    "surrogate forest": ("member", {"surrogate": {"model": "forest"}}, 1600),
    "gp description": ("member", {"surrogate": {"model": "gaussian_process"}}, 800),
    "gp latent": ("latent", GP, 800),
    "trees latent": ("latent", {"surrogate": {"inputs": "coordinates"}}, 1600),
    "tpe elements": ("elements", "tpe", 1600),
    "tpe latent": ("latent", "tpe", 1600),
    "cma-es latent": ("latent", "cma-es", 1600),
    "optuna gp elements": ("elements", "gp", 400),
    "optuna gp latent": ("latent", "gp", 400),
}
"""Coordinates, sampler and the evaluations after which a run is given up."""

Out = Annotated[Path, typer.Option(help="File of results, one line a run.")]


@app.command()
def pool(data: Path, out: Out, method: list[str] = ["surrogate"], seeds: int = 3) -> None:  # noqa: B006
    """Evaluations until 5 of the 10 perovskites of lowest formation energy are found."""
    source = perovskites(data)
    for name in method:
        coordinates, sampler, cap = METHODS[name]
        space = Pool(str(source), coordinates, 8)
        order = np.argsort(space.table["e_form"].to_numpy(dtype=float), kind="stable")
        best = {space.ids[i] for i in order[:OF]}
        for seed in _missing(out, name, seeds):
            start = time.perf_counter()
            needed = _until_found(space, sampler, best, cap, seed)
            seconds = time.perf_counter() - start
            _keep(out, {"method": name, "seed": seed, "needed": needed, "cap": cap, "seconds": round(seconds, 1)})


@app.command()
def random(data: Path, draws: int = 10_000) -> None:
    """The same for random order without repetition: exact expectation, and quantiles of simulated orders."""
    n = len(Pool(str(perovskites(data)), "member").ids)
    rng = np.random.default_rng(0)
    ranks = np.sort([rng.choice(n, OF, replace=False) for _ in range(draws)], axis=1)[:, FOUND - 1] + 1
    low, middle, high = np.quantile(ranks, (0.1, 0.5, 0.9))
    typer.echo(
        f"{n} members; expected {FOUND * (n + 1) / (OF + 1):.0f}; 10 %, 50 %, 90 %: {low:.0f} {middle:.0f} {high:.0f}"
    )


@app.command()
def fronts(data: Path, out: Out, method: list[str] = ["surrogate"], seeds: int = 3, evaluations: int = 200) -> None:  # noqa: B006
    """Two objectives on the rows whose gap is known: lowest formation energy, band gap from 1.5 to 3 eV."""
    source = perovskites(data)
    aims = [{"property": "e_form"}, {"property": "band_gap", "goal": "window", "low": 1.5, "high": 3.0}]
    for name in method:
        coordinates, sampler, _ = {**METHODS, "random": ("latent", "random", 0), "nsga-ii": ("elements", "nsga-ii", 0)}[
            name
        ]
        space = Pool(str(_with_gap(source)), coordinates, 8)
        reference = _reference(space)
        for seed in _missing(out, name, seeds):
            study = optimize(space, objectives=aims, sampler=sampler, evaluations=evaluations, seed=seed)
            history = hypervolumes(study, reference[0])
            line = {f"at {n}": round(history[min(n, len(history)) - 1] / reference[1], 4) for n in (50, 100, 200)}
            _keep(out, {"method": name, "seed": seed, "members": len(space.ids), **line})


ELEMENTS = ["Li", "Mg", "Al", "Si", "Ca", "Ti", "V", "Zr", "Nb", "Hf", "Ta", "W", "Sc", "B", "O", "N"]
RELAXED = [{"relax": {"fmax": 0.1, "max_steps": 150, "seconds": 60.0}}, "hull", "bulk_modulus"]
LADDERS: dict[str, tuple[str, list[Any], int]] = {
    "random": ("random", ["constraints", *RELAXED], 8),
    "surrogate": ("surrogate", ["constraints", *RELAXED], 8),
    "ladder": ("surrogate", ["constraints", {"single_point": {"promote": 0.5}}, *RELAXED], 16),
}
"""Sampler, rungs and candidates of a round."""


@app.command("open")
def open_space(
    out: Out,
    method: list[str] = ["random", "surrogate", "ladder"],  # noqa: B006
    seeds: int = 5,
    evaluations: int = 300,
    memory: Path | None = None,
) -> None:
    """Oxides and nitrides at most 0.05 eV/atom above the hull with the highest bulk modulus, by CHGNet.

    An evaluation is a relaxation. Studies and relaxations lie beside the results: a run that was stopped goes on, and
    a structure that any run relaxed costs no other run anything, though it counts there too.
    """
    space = {"composition": {"elements": ELEMENTS, "one_of": ["O", "N"], "max_atoms": 8, "least": 2, "most": 3}}
    aims = [{"property": "bulk_modulus", "goal": "maximise"}]
    limits = [{"property": "e_above_hull", "high": 0.05}]
    for seed in range(seeds):
        for name in method:
            if seed not in _missing(out, name, seeds):
                continue
            start, (sampler, rungs, batch) = time.process_time(), LADDERS[name]
            study = optimize(space, {"ladder": {"rungs": rungs}}, aims, limits=limits, sampler=sampler,
                             evaluations=evaluations, batch=batch, seed=seed, count="relax_status",
                             storage=out.with_suffix(".db"), name=f"{name} {seed} {evaluations}",
                             memory=memory or out.with_suffix(".memory"))  # fmt: skip
            _keep(out, {"method": name, "seed": seed, "evaluations": evaluations, **_yield(study),
                        "seconds": round(time.process_time() - start)})  # fmt: skip


def _yield(study: optuna.Study) -> dict[str, Any]:
    """Feasible candidates, the best and the mean of the best ten (of as many as there are), GPa."""
    good = sorted((t.values[0] for t in finished(study) if is_feasible(t)), reverse=True)
    best = round(good[0], 1) if good else None
    return {"feasible": len(good), "best": best, "top 10": round(float(np.mean(good[:10])), 1) if good else None}


@app.command()
def latent(
    data: Path,
    out: Out,
    column: str = "e_form",
    method: list[str] = ["prior", "tpe", "gp"],  # noqa: B006
    seeds: int = 3,
    evaluations: int = 100,
    most: int = 500,
    model: str = "vae-mp20",
) -> None:
    """Lowest formation energy predicted by the surrogate in the autoencoder's latent space, and of prior samples.

    DATA holds known structures with their formation energy in --column. Evaluations that fail (invalid structures)
    count; the search starts from the codes of the best 50 known structures, the prior from none.
    """
    rungs = ["constraints", {"predict": {"property": "e_form"}}]
    space = {"latent": {"source": str(data), "model": model, "best_by": column, "top": 50, "most": most,
                        "decoding": {"steps": 30}}}  # fmt: skip
    samplers = {"tpe": "tpe", "gp": GP, "random": "random"}
    for seed in range(seeds):
        for name in method:
            if seed not in _missing(out, name, seeds):
                continue
            if name == "prior":
                values = _prior(model, rungs, evaluations, seed)
            else:
                study = optimize(space, {"ladder": {"rungs": rungs}}, [{"property": "e_form"}],
                                 sampler=samplers[name], evaluations=evaluations, batch=8, seed=seed)  # fmt: skip
                values = sorted(t.values[0] for t in finished(study))
            line = {"valid": len(values), "best": round(values[0], 3), "top 10": round(float(np.mean(values[:10])), 3)}
            _keep(out, {"method": name, "seed": seed, "evaluations": evaluations, **line})


def _prior(model: str, rungs: list[Any], n: int, seed: int) -> list[float]:
    """Values of samples from the prior, judged on the same ladder, lowest first."""
    made = sample(model, n, seed, options={"steps": 30}, executor=Serial())
    judged = Ladder(rungs).evaluate(made, [], [], Serial())
    return sorted(judged.table["e_form"].tolist())


@app.command()
def overhead(
    method: list[str] = ["random", "tpe", "nsga-ii", "surrogate"],  # noqa: B006
    trials: int = 1000,
    last: int = 192,
    batch: int = 8,
    where: str = "db",
) -> None:
    """Processor seconds of the loop itself for each of the last trials of a study on disk, by sampler.

    The trials before are random ones that were read. Processor time is what a machine that does nothing else needs.
    """
    folder = Path(tempfile.mkdtemp())
    space = Pool(str(_made_up(folder, 2 * trials)), "latent", 8)
    aims = [{"property": "value"}]
    first = optuna.storages.InMemoryStorage()
    optimize(space, objectives=aims, sampler="random", evaluations=trials - last, batch=batch, storage=first)
    for sampler in method:
        storage = open_storage(folder / f"{sampler}.{where}")
        optuna.copy_study(from_study_name="search", from_storage=first, to_storage=storage)
        start = time.process_time()
        optuna.load_study(study_name="search", storage=storage).get_trials(deepcopy=False)
        reading = time.process_time() - start
        start, wall = time.process_time(), time.perf_counter()
        optimize(space, objectives=aims, sampler=sampler, evaluations=trials, batch=batch, storage=storage)
        each, passed = (time.process_time() - start) / last, (time.perf_counter() - wall) / last
        typer.echo(
            f"{sampler:>10}: {1000 * each:.0f} ms of processor ({1000 * passed:.0f} ms passed) a trial "
            f"at {trials} trials, 5 % of {20 * each:.2f} s; {reading:.2f} s to read a study that goes on"
        )


@app.command()
def tuning(data: Path, out: Out, method: list[str] = ["grid", "random", "tpe", "gp"], seeds: int = 2) -> None:  # noqa: B006
    """Settings of a small flow's training on 1,000 perovskites: best validation loss after 8, 16 and 24 trainings."""
    from matgen.data.structures import read_structures
    from matgen.optimize.trainers import GeneratorTrainer
    from matgen.optimize.tuning import tune

    rows, structures = read_structures(perovskites(data))
    path = Path(tempfile.mkdtemp()) / "some.parquet"
    chosen = np.random.default_rng(0).permutation(len(rows))[:1000]
    write_structures(path, rows.iloc[chosen].reset_index(drop=True), [structures[i] for i in chosen])
    loop = {"steps": 60, "atoms": 320, "save_every": 60, "warmup": 10, "device": "cpu"}
    config = {"width": 32, "layers": 2, "heads": 4, "channels": 8}
    trainer = GeneratorTrainer([path], "flow", config, loop)
    parameters = {
        "training.lr": {"low": 1e-4, "high": 3e-2, "log": True, "points": 3},
        "training.optimizer": {"choices": ["adamw", "adam", "sgd", "adagrad"]},
        "config.width": {"choices": [16, 48]},
    }
    for name in method:
        for seed in _missing(out, name, seeds):
            start = time.perf_counter()
            study = tune(trainer, parameters, trials=24, sampler=name, pruner="none", seed=seed)
            best = np.fmin.accumulate([t.value if t.value is not None else np.inf for t in study.trials])
            line = {f"after {n}": round(float(best[n - 1]), 4) for n in (8, 16, 24)}
            _keep(out, {"method": name, "seed": seed, **line, "seconds": round(time.perf_counter() - start)})


@app.command()
def table(results: Path) -> None:
    """Summary of a file of results: mean, smallest and largest over the seeds."""
    rows = pd.DataFrame([json.loads(line) for line in results.read_text().splitlines()])
    numbers = [c for c in rows if c not in ("method", "seed") and pd.api.types.is_numeric_dtype(rows[c])]
    summary = rows.groupby("method")[numbers].agg(["count", "mean", "min", "max"])
    typer.echo(summary.round(3).to_string())


def perovskites(data: Path) -> Path:
    """The pool as one structure file, made once."""
    made = Path(tempfile.gettempdir()) / f"perov-5-{os.getuid()}.parquet"
    if made.exists():
        return made
    read = {"keep_default_na": False, "na_values": [""], "dtype": {"material_id": str}}
    tables = [pd.read_csv(data / f"{name}.csv.gz", **read) for name in ("train", "val", "test")]
    joined = pd.concat(tables, ignore_index=True)
    kept = pd.DataFrame({"id": joined["material_id"], "e_form": joined["e_form"] / 5, "band_gap": joined["dir_gap"]})
    write_structures(made, kept, [parse(text, "cif") for text in joined["cif"]])
    return made


def _until_found(space: Pool, sampler: Any, best: set[str], cap: int, seed: int) -> int | None:
    storage = optuna.storages.InMemoryStorage()
    for wanted in range(STEP, cap + 1, STEP):
        study = optimize(space, "lookup", [{"property": "e_form"}], sampler=sampler, evaluations=wanted,
                         seed=seed, storage=storage, batch=8)  # fmt: skip
        hits = np.cumsum([t.user_attrs["key"] in best for t in finished(study)])
        if hits[-1] >= FOUND:
            return int(np.flatnonzero(hits >= FOUND)[0]) + 1
    return None


def _with_gap(source: Path) -> Path:
    from matgen.data.structures import read_structures

    made = source.with_name(f"{source.stem}-gap.parquet")
    rows, structures = read_structures(source)
    keep = np.flatnonzero(rows["band_gap"].notna())
    write_structures(made, rows.iloc[keep].reset_index(drop=True), [structures[i] for i in keep])
    return made


def _reference(space: Pool) -> tuple[np.ndarray, float]:
    """Reference point (median formation energy, the distance of a metal to the window), and the whole pool's volume."""
    rows = space.table
    gap = rows["band_gap"].to_numpy(dtype=float)
    energy = rows["e_form"].to_numpy(dtype=float)
    values = np.stack([energy, np.maximum(np.maximum(1.5 - gap, gap - 3.0), 0.0)], axis=1)
    reference = np.array([np.median(energy), 1.5])
    study = optuna.create_study(directions=["minimize", "minimize"])
    near = values[(values < reference).all(axis=1)]
    study.add_trials([optuna.create_trial(values=list(map(float, v))) for v in near])
    return reference, float(hypervolumes(study, reference)[-1])


def _made_up(folder: Path, n: int) -> Path:
    from pymatgen.core import Lattice, Structure

    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 90, size=(n, 2))
    structures = [Structure(Lattice.cubic(4.0), [int(a), int(b)], [[0, 0, 0], [0.5] * 3]) for a, b in numbers]
    path = folder / "pool.parquet"
    write_structures(path, pd.DataFrame({"id": [f"m{i}" for i in range(n)], "value": rng.normal(size=n)}), structures)
    return path


def _missing(out: Path, method: str, seeds: int) -> list[int]:
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {line["seed"] for line in lines if line["method"] == method}
    return [seed for seed in range(seeds) if seed not in done]


def _keep(out: Path, line: dict[str, Any]) -> None:
    typer.echo(json.dumps(line))
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    app()
