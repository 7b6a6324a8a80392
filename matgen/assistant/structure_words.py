"""A crystal structure in words: composition, symmetry, prototype, coordination."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core import Structure

SHAPES = {2: "linear", 3: "trigonal", 4: "tetrahedral", 6: "octahedral", 8: "cubic", 12: "cuboctahedral"}
LARGEST = 60
"""Atoms up to which coordination is computed."""
SYMPREC = 0.1


def structure_sentences(row: dict[str, Any], structure: Structure) -> list[str]:
    """Sentences about a structure, each true by computation.

    Args:
        row: The candidate's columns, for its formula.
        structure: Its structure.
    """
    formula = row.get("formula") or structure.composition.reduced_formula
    lattice = structure.lattice
    symbol, number, system = _symmetry(structure)
    found = [
        f"{formula} crystallises in the {system} space group {symbol} (number {number}, tolerance {SYMPREC} Å).",
        f"The cell of {formula} has {len(structure)} atoms, edges of {lattice.a:.3f}, {lattice.b:.3f} and "
        f"{lattice.c:.3f} Å and a density of {structure.density:.2f} g/cm³.",
    ]
    if name := prototype(structure):
        found.append(f"The structure of {formula} is of the {name} type.")
    return found + _coordination(str(formula), structure)


def prototype(structure: Structure) -> str:
    """Name of the prototype in pymatgen's AFLOW library that the structure matches, or an empty string."""
    if len(structure) > LARGEST:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _matcher().get_prototypes(structure)
    tags = (found or [{}])[0].get("tags", {})
    return str(tags.get("mineral") or tags.get("strukturbericht") or "")


@lru_cache(maxsize=1)
def _matcher() -> Any:
    from pymatgen.analysis.prototypes import AflowPrototypeMatcher

    return AflowPrototypeMatcher()


def _symmetry(structure: Structure) -> tuple[str, int, str]:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    analysis = SpacegroupAnalyzer(structure, symprec=SYMPREC)
    return analysis.get_space_group_symbol(), analysis.get_space_group_number(), analysis.get_crystal_system()


def _coordination(formula: str, structure: Structure) -> list[str]:
    """The commonest surroundings of each element, by bond distances."""
    from pymatgen.analysis.local_env import MinimumDistanceNN

    if len(structure) > LARGEST or len(structure.composition) < 2:
        return []
    finder = MinimumDistanceNN(tol=0.15)
    around: dict[str, Counter[str]] = {}
    for i, site in enumerate(structure):
        near = Counter(str(n["site"].specie.symbol) for n in finder.get_nn_info(structure, i))
        words = " and ".join(f"{count} {symbol}" for symbol, count in sorted(near.items()))
        around.setdefault(str(site.specie.symbol), Counter())[words] += 1
    return [
        f"In {formula}, {symbol} is surrounded by {counts.most_common(1)[0][0]}{_shape(counts)}."
        for symbol, counts in around.items()
    ]


def _shape(counts: Counter[str]) -> str:
    words = counts.most_common(1)[0][0].split(" and ")
    total = sum(int(word.split()[0]) for word in words)
    return f" ({SHAPES[total]} by number)" if total in SHAPES and len(words) == 1 else ""
