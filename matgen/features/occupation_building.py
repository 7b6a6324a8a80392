"""Count which Wyckoff positions are occupied together in known crystals, for the table that comes with matgen.

    python -m matgen.features.occupation_building STRUCTURES

Of each crystal of at most 20 atoms in the primitive cell only the letters are counted, by element but without naming
any: ``a|b|c`` is three elements on one position each, ``c,c|d`` two elements of which one has two orbits.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import moyopy

from matgen.data.structures import read_structures
from matgen.data.symmetry import SYMPREC, find_symmetry
from matgen.features.observed_occupations import TABLE
from matgen.runtime import write_text

if TYPE_CHECKING:
    from pymatgen.core import Structure

MOST_ATOMS = 20


def pattern(structure: Structure) -> tuple[int, str] | None:
    """Space group and letters of a crystal; None where it is too large or no symmetry is found."""
    found = find_symmetry(structure)
    if found is None or found.n_primitive > MOST_ATOMS:
        return None
    cell = moyopy.Cell(
        structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers)
    )
    primitive = moyopy.MoyoDataset(cell, symprec=SYMPREC).prim_std_cell
    data = moyopy.MoyoDataset(primitive, symprec=SYMPREC)
    orbits = {
        orbit: (z, letter) for orbit, z, letter in zip(data.orbits, primitive.numbers, data.wyckoffs, strict=True)
    }
    by_element: dict[int, list[str]] = defaultdict(list)
    for z, letter in orbits.values():
        by_element[z].append(letter)
    return int(data.number), "|".join(sorted(",".join(sorted(letters)) for letters in by_element.values()))


def main() -> None:
    """Write the table: one line a space group."""
    import json

    _, structures = read_structures(sys.argv[1])
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for found in map(pattern, structures):
        if found is not None:
            counts[found[0]][found[1]] += 1
    lines = [f'"{group}": {json.dumps(dict(counts[group].most_common()))}' for group in sorted(counts)]
    write_text(TABLE, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
