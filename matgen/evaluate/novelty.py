"""What is new: candidates that repeat each other or a known structure are told apart from those that do not."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pymatgen.analysis.structure_matcher import StructureMatcher

from matgen.evaluate.fingerprint import fingerprint
from matgen.evaluate.known import Known, known_in, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates


def novelty(
    candidates: Candidates,
    reference: str | Path | Known | Sequence[str | Path | Known] | None = None,
    *,
    reject_known: bool = False,
) -> Candidates:
    """Reject repeats among the candidates, and say which of the rest are new.

    Two candidates repeat each other if pymatgen's ``StructureMatcher`` with its default tolerances says so. A candidate
    is known if a known structure has its reduced formula and a fingerprint within the tolerance
    (:mod:`matgen.evaluate.fingerprint`).

    Args:
        candidates: What to judge.
        reference: Known structures: the table that comes with matgen by default; or a data set, a file, or several.
        reject_known: Whether known structures are rejected, too.

    Returns:
        Candidates with ``unique``, ``novel`` and ``nearest_known``; repeats are rejected at stage ``unique``, and known
        ones, if asked for, at stage ``novel``.
    """
    references = _references(reference)
    first = first_of_kind(candidates.structures)
    ids = candidates.table["id"].tolist()
    repeats = [None if i == j else f"the same structure as {ids[j]}" for i, j in enumerate(first)]
    kept = candidates.reject("unique", repeats)
    found = [_known(structure, references) for structure in kept.structures]
    judged = kept.with_columns(
        {
            "unique": [True] * len(kept),
            "novel": [same is None for same, _ in found],
            "nearest_known": [same or near for same, near in found],
        }
    )
    return judged.reject("novel", [same for same, _ in found]) if reject_known else judged


def first_of_kind(structures: Sequence[Structure]) -> list[int]:
    """For each structure the index of the first one that it matches, its own if none."""
    matcher = StructureMatcher()
    buckets: dict[str, list[int]] = defaultdict(list)
    first = []
    for i, structure in enumerate(structures):
        bucket = buckets[structure.composition.reduced_formula]
        match = next((j for j in bucket if matcher.fit(structures[j], structure)), i)
        if match == i:
            bucket.append(i)
        first.append(match)
    return first


def _known(structure: Structure, references: Sequence[Known]) -> tuple[str | None, str]:
    formula, vector = structure.composition.reduced_formula, fingerprint(structure)
    for known in references:
        row = known.same(formula, vector)
        if row is not None:
            group = int(known.table["space_group"].iat[row])
            return f"{formula} is known in this structure (space group {group}, {known.name})", ""
    return None, references[0].nearest(formula)


def _references(reference: str | Path | Known | Sequence[str | Path | Known] | None) -> list[Known]:
    if reference is None:
        return [shipped()]
    several = reference if isinstance(reference, list | tuple) else [reference]
    return [one if isinstance(one, Known) else known_in(one) for one in several]  # type: ignore[arg-type]
