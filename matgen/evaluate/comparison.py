"""Which generator suits a data set: every family is trained on it for the same time, sampled, and judged alike."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.errors import ConfigError, MatgenError
from matgen.evaluate.evaluation import evaluate
from matgen.evaluate.interval import wilson
from matgen.execution import Pool
from matgen.generators.base import CARD, GENERATORS, Generator, load_generator
from matgen.generators.sampling import sample
from matgen.generators.training import train
from matgen.runtime import write_json, write_text
from matgen.stability.hull import hull
from matgen.stability.relaxation import relax
from matgen.training import Training, losses_recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matgen.data.candidates import Candidates
    from matgen.execution import Row

log = logging.getLogger(__name__)

PACE_STEPS = 10
"""Steps after which the time of one is known, and so how many the budget allows."""

BATCH = 640
"""Atoms in a batch: small data sets, and budgets of minutes, want many small steps."""

NEAR_HULL = 0.1
"""eV/atom above the reference hull; the field's "metastable"."""

ROW, LEADERBOARD = "row.json", "leaderboard"
FROM_LIBRARY = ("retrieval", "hybrid")
"""Generators that take the data as a library instead of being trained on them."""


@dataclass(frozen=True)
class Comparison:
    """A leaderboard, best first.

    Args:
        table: One row a generator. ``new`` is the share of samples that are structurally valid, unique and in no
            structure of the data; ``near_hull`` the share of relaxed ones among these that lie at most 0.1 eV/atom
            above the CHGNet reference hull; ``score`` their product, the yield of new metastable crystals a sample.
        recommended: The name of the one to take.
        reason: Why, in one sentence.
    """

    table: pd.DataFrame
    recommended: str
    reason: str


@dataclass(frozen=True)
class Budget:
    """What each generator may spend.

    Args:
        minutes: Of training.
        samples: Drawn from each.
        relaxed: Of these, valid, unique and new, relaxed with CHGNet.
        max_atoms: Larger cells are left out of the training.
        seed: Of training and sampling.
    """

    minutes: float = 5.0
    samples: int = 200
    relaxed: int = 32
    max_atoms: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.minutes <= 0 or self.samples < 1 or self.relaxed < 1:
            raise ConfigError(
                f"minutes={self.minutes}, samples={self.samples}, relaxed={self.relaxed}.",
                where="budget",
                fix="All must be positive.",
            )


def compare(
    data: str | Path,
    out: str | Path,
    generators: Sequence[str] = (),
    *,
    budget: Budget | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
) -> Comparison:
    """Train, sample and judge generators on one data set; the same call on the same folder goes on where it stopped.

    Args:
        data: An ingested data set or structure file.
        out: Folder for ``leaderboard.csv``, ``leaderboard.md`` and one folder a generator.
        generators: Families by registry name, and trained models by name or folder, which are taken as they are. By
            default all families that can be trained, and those that take the data as a library.
        budget: The same for each.
        config: Settings of families by name, for example ``{"flow": {"width": 128}}``.

    Raises:
        ConfigError: An unknown generator, or one that cannot propose crystals on its own.
    """
    budget, out = budget or Budget(), Path(out)
    names = list(generators) or families()
    for name in names:
        load_generator(name, **_settings(name, data, config)) if not _trainable(name) else GENERATORS.get(name)
    rows = []
    for name in names:
        folder = out / Path(name).name
        if not (folder / ROW).exists():
            log.info("compare: %s", name)
            write_json(folder / ROW, _row(name, data, folder, budget, config))
        rows.append(json.loads((folder / ROW).read_text(encoding="utf-8")))
    table = pd.DataFrame(rows).sort_values(["score", "new"], ascending=False, ignore_index=True)
    found = Comparison(table, *_advice(table))
    write_text(out / f"{LEADERBOARD}.csv", table.to_csv(index=False))
    write_text(out / f"{LEADERBOARD}.md", markdown(found))
    return found


def families() -> list[str]:
    """Families of crystals that can be trained on data alone, and those that take them as a library."""
    trainable = [name for name in GENERATORS.names() if _trainable(name)]
    return [*(name for name in trainable if GENERATORS.get(name).proposes == "crystals"), *FROM_LIBRARY]


def markdown(found: Comparison) -> str:
    """The leaderboard as a Markdown table, with the recommendation."""
    shown = found.table.drop(columns=["near_hull_interval", "problem"], errors="ignore")
    return f"{shown.to_markdown(index=False, floatfmt='.3g')}\n\nRecommended: {found.recommended}. {found.reason}\n"


def _trainable(name: str) -> bool:
    return name in GENERATORS and GENERATORS.get(name).loss is not Generator.loss


def _settings(name: str, data: str | Path, config: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    given = dict((config or {}).get(name, {}))
    return {"library": str(data), **given} if name in FROM_LIBRARY else given


def _row(
    name: str, data: str | Path, folder: Path, budget: Budget, config: Mapping[str, Mapping[str, Any]] | None
) -> Row:
    """Everything about one generator; one that fails has a row with its problem and no score."""
    settings = _settings(name, data, config)
    try:
        model = _trained(name, data, folder, budget, settings) if _trainable(name) else name
        options = {} if _trainable(name) else {"config": settings}
        return {"generator": Path(name).name, **_cost(model, folder, options), **_judged(model, data, budget, options)}
    except MatgenError as error:
        log.warning("compare: %s failed: %s", name, error)
        return {"generator": Path(name).name, "score": 0.0, "new": 0.0, "problem": str(error)}


def _trained(name: str, data: str | Path, folder: Path, budget: Budget, settings: Mapping[str, Any]) -> str:
    """Folder of the family trained for the budget's minutes; the first steps tell how many that allows."""
    plan = Training(steps=PACE_STEPS, atoms=BATCH, save_every=PACE_STEPS, warmup=100, seed=budget.seed)

    def fit(plan: Training) -> None:
        train(data, folder, generator=name, config=settings, settings=plan, max_atoms=budget.max_atoms)

    if not losses_recorded(folder):
        fit(plan)
    last = losses_recorded(folder)
    if last["step"] <= PACE_STEPS:
        (folder / CARD).unlink(missing_ok=True)  # written by the first steps; a killed training must not look finished
    if not (folder / CARD).exists():
        steps = max(int(last["step"]) + 1, round(60 * budget.minutes * last["step"] / last["seconds"]))
        fit(replace(plan, steps=steps, save_every=max(steps // 10, PACE_STEPS)))
    return str(folder)


def _cost(model: str, folder: Path, options: Mapping[str, Any]) -> Row:
    generator = load_generator(model, **options.get("config", {}))
    last = losses_recorded(folder)
    return {
        "parameters": sum(p.numel() for p in generator.parameters()),
        "steps": last.get("step"),
        "training_minutes": round(last["seconds"] / 60, 2) if last else None,
    }


def _judged(model: str, data: str | Path, budget: Budget, options: Mapping[str, Any]) -> Row:
    with Pool() as pool:
        sample(model, 1, budget.seed + 1, executor=pool, **options)  # the workers import and load
        start = time.perf_counter()
        made = sample(model, budget.samples, budget.seed, executor=pool, **options)
        seconds = time.perf_counter() - start
        memory = max(row["mb"] for row in pool.map(memory_used, [{}] * 8, name="memory", shard=1))
        metrics, table = evaluate(made, data, executor=pool)
        new = table["structure_valid"] & table["unique"] & table["novel_to_reference"]
        stable = _near_hull(_first(made, new.to_numpy(), budget.relaxed), pool)
    return {
        "samples_per_second": round(len(made) / seconds, 2),
        "memory_mb": round(memory),
        "structural_validity": metrics["structural_validity"]["share"],
        "composition_validity": metrics["composition_validity"]["share"],
        "uniqueness": metrics["uniqueness"]["share"],
        "new": round(float(new.mean()), 4),
        **stable,
        "score": round(float(new.mean()) * (stable["near_hull"] or 0.0), 4),
    }


def _first(made: Candidates, chosen: Any, n: int) -> Candidates:
    places = [i for i, keep in enumerate(chosen) if keep][:n]
    return type(made)(made.table.iloc[places].reset_index(drop=True), [made.structures[i] for i in places])


def _near_hull(chosen: Candidates, pool: Pool) -> Row:
    """How many relaxed structures lie near the CHGNet reference hull; a failed relaxation does not."""
    if not len(chosen):
        return {"relaxed": 0, "near_hull": None, "near_hull_interval": None, "median_e_above_hull": None}
    judged = hull(relax(chosen, executor=pool)).table["e_above_hull"]
    near = int((judged <= NEAR_HULL).sum())
    return {
        "relaxed": len(chosen),
        "near_hull": round(near / len(chosen), 4),
        "near_hull_interval": [round(bound, 4) for bound in wilson(near, len(chosen))],
        "median_e_above_hull": round(float(judged.median()), 4) if len(judged) else None,
    }


def memory_used(items: Sequence[Row]) -> list[Row]:
    """Worker: its largest resident size so far, in MB."""
    import resource

    return [{"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} for _ in items]


def _advice(table: pd.DataFrame) -> tuple[str, str]:
    best = table.iloc[0]
    if not best["score"]:
        return "none", "No generator gave a new structure near the hull; train longer or on more data."
    reason = f"{best['score']:.1%} of its samples are valid, new and at most {NEAR_HULL} eV/atom above the hull."
    low = best["new"] * best["near_hull_interval"][0]
    rivals = [
        str(row["generator"])
        for _, row in table.iloc[1:].iterrows()
        if isinstance(row.get("near_hull_interval"), list) and row["new"] * row["near_hull_interval"][1] >= low
    ]
    if rivals:
        reason += f" Within the interval of {int(best['relaxed'])} relaxations so may {', '.join(rivals)}."
    return str(best["generator"]), reason
