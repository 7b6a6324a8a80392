"""How far a table of reference energies reaches: which chemical systems it knows, which are thin, which lack some."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.stability.hull import is_thin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matgen.stability.references import ReferenceTable

COLUMNS = ("system", "elements", "compounds", "with_subsystems", "guessed", "missing", "thin", "complete")


def coverage(table: ReferenceTable, known: Iterable[str] | None = None) -> pd.DataFrame:
    """One row for each chemical system of several elements of which a table, or a list of formulas, has a compound.

    Args:
        table: Reference energies.
        known: Formulas that a complete table would have, for example all that are stable in a data base. Without
            them nothing can be called complete, and ``missing`` and ``complete`` are empty.

    Returns:
        ``system``, ``elements`` (how many), ``compounds`` (of exactly these), ``with_subsystems`` (compounds of
        these elements or fewer, which is what a hull rests on), ``guessed`` (of the latter, those with a guessed
        structure), ``missing`` (formulas of the list, subsystems included, without an entry), ``thin`` (see
        :func:`matgen.stability.hull.is_thin`) and ``complete`` (nothing of the list is missing).
    """
    entries = {formula: _system(formula) for formula in table.entries["formula"]}
    guessed = set(table.entries.loc[table.entries["origin"] == "guessed", "formula"])
    counts = Counter(s for s in entries.values() if len(s) > 1)
    guesses = Counter(s for formula, s in entries.items() if formula in guessed)
    wanted: dict[frozenset[str], set[str]] = defaultdict(set)
    for formula in known or ():
        reduced, system = _reduced(formula)
        if len(system) > 1:
            wanted[system].add(reduced)
    missing = Counter({s: len(formulas - entries.keys()) for s, formulas in wanted.items()})
    rows = []
    for system in counts.keys() | wanted.keys():
        parts = [frozenset(p) for n in range(2, len(system) + 1) for p in combinations(sorted(system), n)]
        whole, lacking = sum(counts[p] for p in parts), sum(missing[p] for p in parts)
        thin = is_thin(len(system), whole)
        row: tuple[Any, ...] = ("-".join(sorted(system)), len(system), counts[system], whole)
        row += (sum(guesses[p] for p in parts), None if known is None else lacking, thin)
        rows.append((*row, None if known is None else lacking == 0))
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["elements", "system"], ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each number of elements: systems, thin ones, and, where a list was given, complete ones."""
    groups = found.groupby("elements")
    table = groups.agg(systems=("system", "size"), compounds=("compounds", "sum"), thin=("thin", "sum"))
    if found["complete"].notna().all():
        table["complete"] = groups["complete"].sum().astype(int)
        table["complete_and_not_thin"] = (
            (found["complete"].astype(bool) & ~found["thin"]).groupby(found["elements"]).sum()
        )
    return table.reset_index()


def missing_formulas(table: ReferenceTable, known: Iterable[str]) -> list[str]:
    """Formulas of the list without an entry, reduced and sorted: what to compute next."""
    have = set(table.entries["formula"])
    return sorted({reduced for reduced, _ in map(_reduced, known)} - have)


def _reduced(formula: str) -> tuple[str, frozenset[str]]:
    from pymatgen.core import Composition

    composition = Composition(formula)
    return composition.reduced_formula, frozenset(e.symbol for e in composition.elements)


def _system(formula: str) -> frozenset[str]:
    return _reduced(formula)[1]
