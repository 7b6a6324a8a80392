"""A crystal structure in words: composition, symmetry, prototype, coordination."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.assistant.molecule_words import molecule_sentences
from matgen.data.structures import is_molecule

if TYPE_CHECKING:
    from pymatgen.core import Structure

SHAPES = {2: "linear", 3: "trigonal", 4: "tetrahedral", 6: "octahedral", 8: "cubic", 12: "cuboctahedral"}
LARGEST = 60
"""Atoms up to which coordination is computed."""
SYMPREC = 0.1
FINEST = 0.01
"""Relative tolerance of lengths at which prototypes that still match alike are not told apart."""


def structure_sentences(row: dict[str, Any], structure: Structure) -> list[str]:
    """Sentences about a structure, each true by computation.

    Args:
        row: The candidate's columns, for its formula.
        structure: Its structure.
    """
    if is_molecule(structure):
        return molecule_sentences(row, structure)
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
    """Name of the prototype in pymatgen's AFLOW library that the structure matches, or an empty string.

    Where several match, tolerances shrink until one is left; pymatgen's own class does the same, but reads the
    library's bibliography too, which takes seconds.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if len(structure) > LARGEST:
        return ""
    matcher, reduced = StructureMatcher(), _reduced(structure)

    def fitting(known: list[tuple[Structure, str]]) -> list[tuple[Structure, str]]:
        return [p for p in known if matcher.fit_anonymous(p[0], reduced, skip_structure_reduction=True)]

    alike = [(_reduced(s), name) for s, name in _prototypes() if _proportions(s) == _proportions(structure)]
    found = fitting(alike)
    while len(found) > 1 and matcher.ltol > FINEST:
        matcher.ltol, matcher.stol, matcher.angle_tol = 0.8 * matcher.ltol, 0.8 * matcher.stol, 0.8 * matcher.angle_tol
        found = fitting(found)
    return found[0][1] if found else ""


@lru_cache(maxsize=1)
def _prototypes() -> list[tuple[Structure, str]]:
    """Structures and names of the library; none where this pymatgen keeps it elsewhere."""
    from pymatgen.core import Structure

    package = find_spec("pymatgen.analysis")
    folders = [Path(path) for path in (package.submodule_search_locations if package else None) or ()]
    file = next((f for folder in folders for f in folder.rglob("aflow_prototypes.json*")), None)
    if file is None:
        return []
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open(encoding="utf-8") as text:
        entries = json.load(text)
    return [(Structure.from_dict(entry["snl"]), _named(entry["tags"])) for entry in entries]


def _named(tags: dict[str, Any]) -> str:
    if tags.get("mineral"):
        return str(tags["mineral"]).lower()
    return f"Strukturbericht {tags['strukturbericht']}" if tags.get("strukturbericht") else ""


def _proportions(structure: Structure) -> str:
    return str(structure.composition.anonymized_formula)


def _reduced(structure: Structure) -> Structure:
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


def _symmetry(structure: Structure) -> tuple[str, int, str]:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    analysis = SpacegroupAnalyzer(structure, symprec=SYMPREC)
    return analysis.get_space_group_symbol(), analysis.get_space_group_number(), analysis.get_crystal_system()


def _coordination(formula: str, structure: Structure) -> list[str]:
    """The commonest surroundings of each element with their bond lengths."""
    from pymatgen.analysis.local_env import MinimumDistanceNN

    if len(structure) > LARGEST or len(structure.composition) < 2:
        return []
    finder = MinimumDistanceNN(tol=0.15)
    around: dict[str, Counter[tuple[tuple[str, int], ...]]] = {}
    lengths: dict[tuple[str, tuple[tuple[str, int], ...]], list[float]] = {}
    for i, site in enumerate(structure):
        near = finder.get_nn_info(structure, i)
        shell = tuple(sorted(Counter(str(n["site"].specie.symbol) for n in near).items()))
        symbol = str(site.specie.symbol)
        around.setdefault(symbol, Counter())[shell] += 1
        lengths.setdefault((symbol, shell), []).extend(
            float(np.linalg.norm(n["site"].coords - site.coords)) for n in near
        )
    found = []
    for symbol, shells in around.items():
        shell = shells.most_common(1)[0][0]
        words = " and ".join(f"{count} {other}" for other, count in shell)
        who = f"Each {symbol}" if len(shells) == 1 else f"Most {symbol}"
        found.append(f"{who} of {formula} is bonded to {words} {_lengths(lengths[symbol, shell])}{_shape(shell)}.")
    return found


def _lengths(found: list[float]) -> str:
    low, high = f"{min(found):.2f}", f"{max(found):.2f}"
    return f"at {low} Å" if low == high else f"at {low} to {high} Å"


def _shape(shell: tuple[tuple[str, int], ...]) -> str:
    """What the number of neighbours of one kind suggests; the angles are not examined."""
    total = sum(count for _, count in shell)
    return f" ({SHAPES[total]} by number)" if total in SHAPES and len(shell) == 1 else ""
