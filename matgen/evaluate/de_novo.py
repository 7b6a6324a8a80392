"""De novo generation: uniqueness, novelty, symmetry, distributions, and what is stable among the new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from matgen.data.property import find_property
from matgen.evaluate.coverage import PROTOCOL as COVERED
from matgen.evaluate.coverage import coverage
from matgen.evaluate.interval import estimate, share
from matgen.evaluate.known import COLUMNS, Known, shipped
from matgen.evaluate.novelty import describe_all, first_of_kind, known_as
from matgen.evaluate.reference import ENERGY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymatgen.core import Structure

    from matgen.data.candidates import Candidates
    from matgen.evaluate.reference import Reference
    from matgen.execution import Executor, Row

PROTOCOL = {
    "uniqueness": "StructureMatcher() within a formula, among structurally valid structures",
    "novelty": "fingerprints against the known structures that come with matgen, among unique ones",
    "novelty_to_reference": "StructureMatcher() against the reference, among unique ones",
    "unique_and_novel": "over all structures; an invalid one is neither",
    "p1": "space group 1 by moyo at 0.1 Å, over all structures",
    "space_group_distance": "total variation distance between the histograms of space groups, valid ones and reference",
    "wasserstein": "valid structures against the reference (Xie et al., arXiv:2110.06197); interval by bootstrap",
    **COVERED,
}
NO_ENERGIES = "no e_above_hull; relax the structures and measure their hull distance first (matgen relax, matgen hull)"


def de_novo_metrics(
    made: Candidates, table: pd.DataFrame, reference: Reference | None, executor: Executor
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of structures that were made without a composition given.

    Args:
        made: The structures; ``e_above_hull`` and ``rmsd`` are used where the table has them.
        table: One row a structure, with ``structure_valid`` and ``space_group``.
        reference: Structures whose distributions are sought, if any.
        executor: Describes and compares structures.

    Returns:
        The metrics with ``protocol`` and ``skipped``, and the table with ``unique`` and ``novel``.
    """
    valid = np.flatnonzero(table["structure_valid"])
    structures = [made.structures[i] for i in valid]
    seen = describe_all(structures, executor)
    table = table.assign(**_judged(valid, structures, seen, [shipped()], len(table), executor))
    unique = table["unique"].to_numpy()
    metrics: dict[str, Any] = {
        "uniqueness": share(unique[valid]),
        "novelty": share(table["novel"][unique]),
        "unique_and_novel": share(table["novel"]),
        "p1": share(table["space_group"].eq(1).fillna(False)),
    }
    skipped: dict[str, str] = {}
    if reference is not None:
        rows = describe_all(reference.structures, executor)
        described = [row for row in rows if "error" not in row]
        there = [s for s, row in zip(reference.structures, rows, strict=True) if "error" not in row]
        known = Known(reference.name, pd.DataFrame(described, columns=list(COLUMNS)), there)
        again = _judged(valid, structures, seen, [known], len(table), executor, unique)
        table = table.assign(novel_to_reference=again["novel"])
        metrics["novelty_to_reference"] = share(table["novel_to_reference"][unique])
        metrics |= coverage([row for row in seen if "error" not in row], described, len(table))
        metrics |= _distributions(made, table, structures, reference, described, skipped)
    else:
        skipped["coverage, wasserstein, space_group_distance, novelty_to_reference"] = "no reference was given"
    metrics |= _stable(made, table, skipped) | _relaxed(made, skipped)
    return metrics | {"protocol": PROTOCOL, "skipped": skipped}, table


def _judged(
    valid: np.ndarray,
    structures: Sequence[Structure],
    seen: Sequence[Row],
    references: Sequence[Known],
    n: int,
    executor: Executor,
    unique: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """(N,) ``unique`` and ``novel``; structures that are invalid or cannot be described are neither."""
    fine = np.array(["error" not in row for row in seen], dtype=bool)
    if unique is None:
        first = first_of_kind(structures, seen, executor)
        unique = np.zeros(n, dtype=bool)
        unique[valid] = fine & (np.array(first, dtype=int) == np.arange(len(first)))
    places = [k for k, i in enumerate(valid) if unique[i]]
    labels = known_as([structures[k] for k in places], [seen[k] for k in places], references, executor)
    novel = np.zeros(n, dtype=bool)
    novel[valid[places]] = [label is None for label in labels]
    return {"unique": unique, "novel": novel}


def _distributions(
    made: Candidates,
    table: pd.DataFrame,
    structures: Sequence[Structure],
    reference: Reference,
    described: Sequence[Row],
    skipped: dict[str, str],
) -> dict[str, Any]:
    if not structures:
        skipped["wasserstein, space_group_distance"] = "no structure is valid"
        return {}
    groups = table["space_group"][table["structure_valid"]].to_numpy(dtype=float, na_value=0)
    there = np.array([row["space_group"] for row in described], dtype=float)
    found = {
        "wasserstein_density": _wasserstein(_densities(structures), _densities(reference.structures)),
        "wasserstein_elements": _wasserstein(_elements(structures), _elements(reference.structures)),
        "space_group_distance": estimate(groups, lambda drawn: _total_variation(drawn, there)),
    }
    energies = made.table[ENERGY].to_numpy(dtype=float) if ENERGY in made.table else np.array([])
    if np.isfinite(energies).any() and np.isfinite(reference.energies).any():
        pair = (values[np.isfinite(values)] for values in (energies, reference.energies))
        return found | {"wasserstein_e_form": _wasserstein(*pair)}
    skipped["wasserstein_e_form"] = f"no {find_property(ENERGY).label.lower()} on both sides"
    return found


def _stable(made: Candidates, table: pd.DataFrame, skipped: dict[str, str]) -> dict[str, Any]:
    if "e_above_hull" not in made.table:
        skipped["SUN, MSUN"] = NO_ENERGIES
        return {}
    energy, new = made.table["e_above_hull"].to_numpy(dtype=float), table["novel"].to_numpy(dtype=bool)
    hull = str(made.table["hull_reference"].iat[0]) if "hull_reference" in made.table else "hull not stated"
    relaxed = "relaxed before" if "relax_status" in made.table else "as submitted"
    protocol = f"({hull} hull, {relaxed}; unique by StructureMatcher(), novel against {shipped().name} by fingerprint)"
    return {
        f"SUN@0 {protocol}": share((energy <= 0) & new),
        f"SUN@0.1 {protocol}": share((energy <= 0.1) & new),
        f"MSUN@0.1 {protocol}": share((energy > 0) & (energy <= 0.1) & new),
    }


def _relaxed(made: Candidates, skipped: dict[str, str]) -> dict[str, Any]:
    if "rmsd" not in made.table:
        skipped["rmsd"] = "no rmsd to the relaxed structures; 'matgen relax' adds it"
        return {}
    rmsd = made.table["rmsd"].to_numpy(dtype=float)
    return {"rmsd": estimate(rmsd[np.isfinite(rmsd)], np.mean)}


def _wasserstein(values: np.ndarray, there: np.ndarray) -> dict[str, Any]:
    statistic: Callable[[np.ndarray], float] = lambda drawn: float(wasserstein_distance(drawn, there))  # noqa: E731
    return estimate(values, statistic)


def _total_variation(one: np.ndarray, other: np.ndarray) -> float:
    """Half the summed difference of two histograms of whole numbers: 0 where they agree, 1 where they share nothing."""
    edges = np.arange(232) - 0.5
    shares = [np.histogram(values, edges)[0] / len(values) for values in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _densities(structures: Sequence[Structure]) -> np.ndarray:
    return np.array([structure.density for structure in structures])


def _elements(structures: Sequence[Structure]) -> np.ndarray:
    return np.array([len(structure.composition) for structure in structures], dtype=float)
