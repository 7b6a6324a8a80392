"""What is new: candidates that repeat each other or a known structure are told apart from those that do not."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from scipy.spatial.distance import cdist

from matgen.data.structures import pack, unpack
from matgen.evaluate.fingerprint import STEP
from matgen.evaluate.known import BEYOND, TOLERANCE, Known, describe_rows, known_in, shipped
from matgen.execution import Serial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row

SECONDS = 60.0
"""Time limit for the comparisons of one structure; pymatgen's matcher may take very long on skewed cells."""


def novelty(
    candidates: Candidates,
    reference: str | Path | Known | Sequence[str | Path | Known] | None = None,
    *,
    reject_known: bool = False,
    executor: Executor | None = None,
) -> Candidates:
    """Reject repeats among the candidates, and say which of the rest are new.

    Two candidates repeat each other if pymatgen's ``StructureMatcher`` with its default tolerances says so. The same
    holds for a candidate and a known structure where the reference has structures; where it has fingerprints only, as
    the one that comes with matgen, a candidate is known if its reduced formula and the size of its primitive
    cell are those of a known structure and the fingerprints agree within a tolerance, or if the sizes differ and the
    fingerprints hardly do (:mod:`matgen.evaluate.known`).

    Args:
        candidates: What to judge.
        reference: Known structures: the table that comes with matgen by default; or a data set, a file, or several.
        reject_known: Whether known structures are rejected, too.
        executor: Where the work runs; this process if not given.

    Returns:
        Candidates with ``unique``, ``novel`` and ``nearest_known``; repeats are rejected at stage ``unique``, and known
        ones, if asked for, at stage ``novel``.
    """
    executor = executor or Serial()
    references = _references(reference)
    seen = describe_all(candidates.structures, executor)
    first = first_of_kind(candidates.structures, seen, executor)
    repeats = [_repeats(i, j, row, candidates) for i, (j, row) in enumerate(zip(first, seen, strict=True))]
    kept = candidates.reject("unique", repeats)
    seen = [row for row, reason in zip(seen, repeats, strict=True) if reason is None]
    same = known_as(kept.structures, seen, references, executor)
    judged = kept.with_columns(
        {
            "unique": [True] * len(kept),
            "novel": [label is None for label in same],
            "nearest_known": [label or references[0].nearest(row) for label, row in zip(same, seen, strict=True)],
        }
    )
    return judged.reject("novel", same) if reject_known else judged


def describe_all(structures: Sequence[Structure], executor: Executor) -> list[Row]:
    """Formula, symmetry and fingerprints of each structure, or an ``error``."""
    items = pd.DataFrame(pack(structures)).to_dict("records")
    return executor.map(describe_rows, items, name="describe structures", shard=200, seconds=SECONDS)


def first_of_kind(structures: Sequence[Structure], seen: Sequence[Row], executor: Executor) -> list[int]:
    """For each structure the index of the first one that it matches, its own if none.

    Args:
        structures: In the order in which they take precedence.
        seen: What :func:`describe_all` says of them.
        executor: Compares the structures of a formula.
    """
    buckets: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(seen):
        if "error" not in row:
            buckets[row["formula"]].append(i)
    several = [members for members in buckets.values() if len(members) > 1]
    items = [_bucket(structures, seen, members) for members in several]
    longest = max(map(len, several), default=0)
    rows = executor.map(first_in_bucket, items, name="compare structures", shard=1, seconds=SECONDS + longest)
    first = list(range(len(structures)))
    for members, item, row in zip(several, items, rows, strict=True):
        found = _by_fingerprint(item) if "error" in row else row["first"]
        for i, j in zip(members, found, strict=True):
            first[i] = members[j]
    return first


def first_in_bucket(items: Sequence[Row]) -> list[Row]:
    """Worker: for each bucket of structures with one formula, the index of the first one that each matches."""
    return [{"first": _first(unpack(item), _differences(item))} for item in items]


def known_as(
    structures: Sequence[Structure], seen: Sequence[Row], references: Sequence[Known], executor: Executor
) -> list[str | None]:
    """What each structure is known as, in words; None where it is new.

    Args:
        structures: To be looked up.
        seen: What :func:`describe_all` says of them.
        references: Searched in this order.
        executor: Compares structures where a reference has them.
    """
    labels: list[str | None] = [None] * len(structures)
    for known in references:
        options = [known.candidates(row) if labels[i] is None else [] for i, row in enumerate(seen)]
        rows = _confirmed(structures, known, options, executor) if known.structures else [o[:1] for o in options]
        for i, row in enumerate(rows):
            if row:
                nearly = "this" if known.structures or known.is_of_size(row[0], seen[i]) else "nearly this"
                labels[i] = f"{known.label(row[0])} is known in {nearly} structure ({known.name})"
    return labels


def confirm(items: Sequence[Row]) -> list[Row]:
    """Worker: the index of the first of some known structures that matches a structure, None if none does."""
    matcher = StructureMatcher()
    found = []
    for item in items:
        (structure,), options = unpack(item["structure"]), unpack(item["known"])
        match = next((i for i, option in enumerate(options) if matcher.fit(option, structure)), None)
        found.append({"match": match})
    return found


def _confirmed(
    structures: Sequence[Structure], known: Known, options: Sequence[list[int]], executor: Executor
) -> list[list[int]]:
    asked = [i for i, rows in enumerate(options) if rows]
    items = [
        {"structure": pack([structures[i]]), "known": pack([known.structures[r] for r in options[i]])} for i in asked
    ]
    answers = executor.map(confirm, items, name="compare with known structures", shard=20, seconds=SECONDS)
    found: list[list[int]] = [[] for _ in structures]
    for i, answer in zip(asked, answers, strict=True):
        if answer.get("match") is not None:
            found[i] = [options[i][answer["match"]]]
    return found


def _first(structures: Sequence[Structure], differences: np.ndarray) -> list[int]:
    """Compare with earlier structures that have no match themselves, those with the nearest fingerprint first."""
    matcher = StructureMatcher()
    first = list(range(len(structures)))
    for i, structure in enumerate(structures):
        earlier = [j for j in np.argsort(differences[i, :i], kind="stable") if first[j] == j]
        near = (int(j) for j in earlier if differences[i, j] < BEYOND)
        first[i] = next((j for j in near if matcher.fit(structures[j], structure)), i)
    return first


def _by_fingerprint(bucket: Row) -> list[int]:
    """What :func:`_first` says, judged by fingerprints alone: for buckets that the matcher could not finish."""
    differences, sizes = _differences(bucket), np.array(bucket["n_primitive"])
    same = (differences < TOLERANCE) & (sizes[:, None] == sizes)
    return [int(row[: i + 1].argmax()) for i, row in enumerate(same)]


def _bucket(structures: Sequence[Structure], seen: Sequence[Row], members: Sequence[int]) -> Row:
    described = {name: [seen[i][name] for i in members] for name in ("fingerprint", "n_primitive")}
    return {**pack([structures[i] for i in members]), **described}


def _differences(bucket: Row) -> np.ndarray:
    """(N, N) differences of the fingerprints in a bucket, as :func:`matgen.evaluate.fingerprint.apart` has them."""
    vectors = np.array(bucket["fingerprint"], dtype=float) * STEP
    return np.asarray(cdist(vectors, vectors) * np.sqrt(2 / vectors.shape[1]))


def _repeats(place: int, first: int, seen: Row, candidates: Candidates) -> str | None:
    if "error" in seen:
        return f"could not be compared: {seen['error']}"
    return None if first == place else f"the same structure as {candidates.table['id'].iat[first]}"


def _references(reference: str | Path | Known | Sequence[str | Path | Known] | None) -> list[Known]:
    if reference is None:
        return [shipped()]
    several = reference if isinstance(reference, list | tuple) else [reference]
    return [one if isinstance(one, Known) else known_in(one) for one in several]  # type: ignore[arg-type]
