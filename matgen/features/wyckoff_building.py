"""Make the table of Wyckoff positions that comes with matgen, from moyo's.

    python -m matgen.features.wyckoff_building

moyo names the Wyckoff position of each atom of a crystal, so each space group is shown crystals with atoms at all of
its special points: orbits at general points, which fix the group, and one where symmetry operations leave a
point in place. Shapes: O operations, K affine subspaces.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

import moyopy
import numpy as np
from pymatgen.core import Lattice

from matgen.data.symmetry import crystal_system
from matgen.features.wyckoff import TABLE, Row, operations
from matgen.runtime import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIFTS = np.array(list(product((-1, 0, 1), repeat=3)))
GENERAL = (np.array([0.1217, 0.2931, 0.4173]), np.array([0.3371, 0.1619, 0.0237]), np.array([0.0431, 0.3853, 0.2719]))
SPREAD = np.array([0.0713, 0.1391, 0.2337])
"""Irrational-looking numbers, so that nothing is symmetric by chance."""

EDGES = {
    "triclinic": (12.3, 15.9, 20.1, 77, 83, 97),
    "monoclinic": (12.3, 15.9, 20.1, 90, 103, 90),
    "orthorhombic": (12.3, 15.9, 20.1, 90, 90, 90),
    "tetragonal": (12.3, 12.3, 20.1, 90, 90, 90),
    "trigonal": (12.3, 12.3, 20.1, 90, 90, 120),
    "hexagonal": (12.3, 12.3, 20.1, 90, 90, 120),
    "cubic": (18.3, 18.3, 18.3, 90, 90, 90),
}


def positions_of(number: int) -> list[Row]:
    """All Wyckoff positions of a space group, by letter from ``a`` on."""
    rotations, translations = operations(number)
    found: dict[str, Row] = {}
    for point in (None, *_special_points(rotations, translations)):
        for position in _ask(number, rotations, translations, point):
            found[position.letter] = (
                position.letter,
                position.multiplicity,
                position.site_symmetry,
                position.coordinates.replace(" ", ""),
            )
    return sorted(found.values(), key=lambda row: (row[0].isupper(), row[0]))


def _ask(
    number: int, rotations: np.ndarray, translations: np.ndarray, point: np.ndarray | None
) -> Iterator[moyopy.WyckoffPosition]:
    sites = [_orbit(rotations, translations, p) for p in (*GENERAL, point) if p is not None]
    kinds = [k + 1 for k, orbit in enumerate(sites) for _ in orbit]
    basis = Lattice.from_parameters(*EDGES[crystal_system(number)]).matrix
    cell = moyopy.Cell(basis.tolist(), np.concatenate(sites).tolist(), kinds)
    data = moyopy.MoyoDataset(cell, symprec=1e-3)
    if data.number != number:
        raise ValueError(f"space group {number} was taken for {data.number}")
    for _, positions in data.normalizer_wyckoff_positions().coset_representatives:
        yield from positions


def _special_points(rotations: np.ndarray, translations: np.ndarray) -> list[np.ndarray]:
    """A point of each kind of subspace that operations leave in place, alone or by two."""
    turns = (np.abs(rotations - np.eye(3)).max(axis=(1, 2)) > 0).nonzero()[0]
    matrices = np.repeat(np.eye(3) - rotations[turns], len(SHIFTS), axis=0)
    offsets = (translations[turns][:, None] + SHIFTS).reshape(-1, 3)
    matrices, offsets, points = _solved(matrices, offsets)
    wide = np.flatnonzero(np.linalg.matrix_rank(matrices) < 3)
    one, other = np.array(list(combinations(wide, 2)), dtype=int).reshape(-1, 2).T
    both = np.concatenate([matrices[one], matrices[other]], axis=1), np.concatenate([offsets[one], offsets[other]], 1)
    kinds: dict[tuple[float, ...], np.ndarray] = {}
    for point in np.concatenate([points, _solved(*both)[2]]) % 1:
        orbit = np.round(_orbit(rotations, translations, point), 4) % 1
        kinds.setdefault(tuple(orbit[np.lexsort(orbit.T)][0]), point)
    return list(kinds.values())


def _solved(matrices: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different spaces ``matrix @ x = offset`` near the cell that are not empty, and a point (K, 3) of each."""
    inverse = np.linalg.pinv(matrices, rcond=1e-6)
    nearest = (inverse @ offsets[..., None])[..., 0]
    free = np.eye(3) - inverse @ matrices
    misses = np.abs((matrices @ nearest[..., None])[..., 0] - offsets).max(axis=1)
    usable = np.flatnonzero((misses < 1e-6) & (np.abs(nearest).max(axis=1) < 1 + 1e-6))
    keys = np.round(np.concatenate([free[usable].reshape(-1, 9), nearest[usable]], axis=1), 4) + 0.0
    kept = usable[np.unique(keys, axis=0, return_index=True)[1]]
    return matrices[kept], offsets[kept], nearest[kept] + (free[kept] @ SPREAD)


def _orbit(rotations: np.ndarray, translations: np.ndarray, point: np.ndarray) -> np.ndarray:
    images = (rotations @ point + translations) % 1
    _, first = np.unique(np.round(images, 4) % 1, axis=0, return_index=True)
    return np.asarray(images[first])


def main() -> None:
    """Write the table: one line a space group."""
    import json

    lines = [f'"{number}": {json.dumps(positions_of(number))}' for number in range(1, 231)]
    write_text(TABLE, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
