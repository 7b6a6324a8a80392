"""Sampling by name: chunks of a fixed size run in an executor and come back as candidates."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.constraints.compatibility import require_compatible
from matgen.constraints.specification import Spec, build_acting, specify
from matgen.data.candidates import Candidates
from matgen.data.request import Request
from matgen.data.structures import SMILES, formula_of, from_batch, pack, unpack
from matgen.data.symmetrisation import symmetrise_candidates
from matgen.errors import ConfigError, MatgenError
from matgen.execution import Pool
from matgen.generators.base import Generator, load_generator
from matgen.runtime import Streams, content_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint
    from matgen.data.fixed import Fixed
    from matgen.execution import Executor, Row


def sample(
    model: str | Path,
    n: int = 100,
    seed: int = 0,
    *,
    formula: str | None = None,
    chemical_system: str | None = None,
    n_atoms: int | None = None,
    space_group: int | None = None,
    target: Mapping[str, float] | None = None,
    fixed: Fixed | None = None,
    text: str | None = None,
    constraints: Sequence[Spec] = (),
    config: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    symmetrise: float | None = None,
    executor: Executor | None = None,
) -> Candidates:
    """Draw structures from a generator.

    Args:
        model: Name of a shipped model or generator, or folder of a trained one.
        n: How many.
        seed: Candidate ``i`` depends on the model, the seed and ``i`` only.
        formula: See :class:`matgen.data.request.Request`, as for the next four.
        chemical_system: Exactly these elements.
        n_atoms: Atoms in the primitive cell.
        space_group: International number.
        target: Wanted property values by property name.
        fixed: Atoms and cell that are given, see :func:`matgen.data.fixed.read_fixed`.
        text: What is wanted in plain words, for models trained on descriptions (``diffusion-text-mp20``).
        constraints: Act inside sampling as ``mask``, ``penalty`` or ``project``, as far as they and the generator
            can; those told ``roles: [check]`` reject finished samples. See :mod:`matgen.constraints`.
        config: Settings of a generator that is named without weights, for example ``{"library": DATASET}``.
        options: How to sample, as the generator documents, for example ``{"steps": 100}``.
        symmetrise: Tolerance in Å within which samples are given exact symmetry, see
            :func:`matgen.data.symmetrisation.symmetrise`.
        executor: Where to run; a process pool by default.

    Returns:
        Candidates with ``id``, ``formula``, ``generator``, ``seed``, ``index`` and ``n_atoms``; where samples had to
        be drawn anew until they were as asked, also ``attempts``.

    Raises:
        ConfigError: The generator cannot honour the request or use a constraint, or they cannot be met together.
    """
    request = Request(n, formula, chemical_system, n_atoms, space_group, dict(target or {}), fixed, text)
    generator = _loaded(str(model), _spelled(config))
    request.require_honoured_by(generator.conditions, generator.name)
    acting = build_acting(constraints)
    generator.require_usable(acting)
    require_compatible(acting, request, largest=getattr(generator, "max_atoms", None))
    specs = [specify(constraint) for constraint in acting]
    asked = {**asdict(request), "n": 1}
    items = [
        {
            **_setting(model, seed, specs, config, options),
            "start": start,
            "requests": [asked] * min(generator.chunk, n - start),
            "together": True,
        }
        for start in range(0, n, generator.chunk)
    ]
    structures, reasons, columns = _run(items, executor)
    reasons = _checked(structures, reasons, [c for c in acting if c.acting and "check" in c.acting])
    made = _candidates(generator, str(model), seed, structures, reasons, **columns)
    return made if symmetrise is None else symmetrise_candidates(made, symmetrise)


def sample_each(
    model: str | Path,
    requests: Sequence[Request],
    ids: Sequence[str],
    seed: int = 0,
    *,
    config: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    answers: int = 1,
    executor: Executor | None = None,
) -> Candidates:
    """One structure for each request: crystal structure prediction when each request is a formula.

    Args:
        model: As for :func:`sample`.
        requests: What is asked of each structure.
        ids: Their names, kept in ``material_id``.
        seed: As for :func:`sample`.
        config: As for :func:`sample`.
        options: As for :func:`sample`.
        answers: Structures for each request, one after the other.
        executor: As for :func:`sample`.
    """
    generator = _loaded(str(model), _spelled(config))
    for request in requests:
        request.require_honoured_by(generator.conditions, generator.name)
    asked = [{**asdict(request), "n": 1} for request in requests]
    items = [
        {
            **_setting(model, seed, [], config, options),
            "start": start,
            "requests": asked[start : start + generator.chunk],
            "together": False,
            "answers": answers,
        }
        for start in range(0, len(asked), generator.chunk)
    ]
    names = [name for name in ids for _ in range(answers)]
    structures, reasons, columns = _run(items, executor)
    return _candidates(generator, str(model), seed, structures, reasons, material_id=names, **columns)


def draw_chunk(items: Sequence[Row]) -> list[Row]:
    """Worker: the structures of each chunk as packed columns."""
    return [_draw(item) for item in items]


def _draw(item: Row) -> Row:
    generator = _loaded(item["model"], item["config"])
    constraints = build_acting(item["constraints"])
    requests = [Request(**request) for request in item["requests"]]
    rng = Streams(item["seed"], generator.name, item["start"])
    try:
        if item["together"]:
            request = Request(**{**item["requests"][0], "n": len(requests)})
            batch = generator.sample(request, rng=rng, constraints=constraints, **item["options"])
        elif item["answers"] > 1:
            return _several(generator, requests, item)
        else:
            batch = generator.sample_each(requests, rng=rng, constraints=constraints, **item["options"])
    except ConfigError as error:
        return {"refused": [error.what, error.where, error.fix]}
    # What a generator could propose but not finish comes with a reason.
    unfinished = {"reason": list(batch.reason)} if "reason" in batch else {}
    drawn = {"attempts": batch.attempts.tolist()} if "attempts" in batch else {}
    return {**pack(from_batch(batch)), **unfinished, **drawn}


def _several(generator: Generator, requests: Sequence[Request], item: Row) -> Row:
    """The packed answers to each request, drawn from a stream of its own, so that ranked lists begin at their top."""
    structures: list[Structure] = []
    for i, request in enumerate(requests, start=item["start"]):
        rng = Streams(item["seed"], f"{generator.name} {i}")
        asked = replace(request, n=item["answers"])
        structures += from_batch(generator.sample(asked, rng=rng, **item["options"]))
    return dict(pack(structures))


def _checked(structures: Sequence[Structure], reasons: list[str], checks: Sequence[Constraint]) -> list[str]:
    """The reasons, with those of constraints that were told to check."""
    for constraint in checks:
        found = constraint.check(structures).reasons
        reasons = [reason or new or "" for reason, new in zip(reasons, found, strict=True)]
    return reasons


def _run(items: Sequence[Row], executor: Executor | None) -> tuple[list[Structure], list[str], dict[str, list[Any]]]:
    """All structures, the reason why each is not finished (empty where it is), and what else is told of all."""
    structures: list[Structure] = []
    reasons: list[str] = []
    attempts: list[int] = []
    for row in (executor or Pool()).map(draw_chunk, items, name="sample", shard=1):
        if "refused" in row:
            what, where, fix = row["refused"]
            raise ConfigError(what, where=where, fix=fix)
        if "error" in row:
            raise MatgenError(f"sampling failed: {row['error']}")
        structures += unpack(row)
        reasons += row.get("reason", [""] * len(row["numbers"]))
        attempts += row.get("attempts", [])
    return structures, reasons, {"attempts": attempts} if len(attempts) == len(structures) > 0 else {}


def _setting(
    model: str | Path,
    seed: int,
    constraints: Sequence[Any],
    config: Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
) -> Row:
    return {
        "model": str(model),
        "config": _spelled(config),
        "seed": seed,
        "constraints": list(constraints),
        "options": dict(options or {}),
    }


def _candidates(
    generator: Generator,
    model: str,
    seed: int,
    structures: Sequence[Structure],
    reasons: Sequence[str],
    **columns: Sequence[Any],
) -> Candidates:
    table = pd.DataFrame(
        {
            "id": [content_id(generator.fingerprint, seed, i) for i in range(len(structures))],
            "formula": [formula_of(s) for s in structures],
            "generator": Path(model).name,
            "seed": seed,
            "index": range(len(structures)),
            "n_atoms": [len(s) for s in structures],
            **columns,
        }
    )
    if any(SMILES in s.properties for s in structures):
        table[SMILES] = [s.properties.get(SMILES) for s in structures]
    return Candidates(table, list(structures)).reject("sample", [reason or None for reason in reasons])


def _spelled(config: Mapping[str, Any] | None) -> str:
    return json.dumps(dict(config or {}), sort_keys=True)


@cache
def _loaded(model: str, config: str) -> Generator:
    """One copy of a generator in each process."""
    return load_generator(model, **json.loads(config))
