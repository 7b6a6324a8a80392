"""Structures that occur more than once, by pymatgen's matcher within a reduced formula.

The matcher takes milliseconds for a pair, so it sees only pairs that could match: an invariant fingerprint that
changes little when atoms move little is compared first, for all pairs of a formula at once, in a k-d tree.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from matgen.data.structures import STRUCTURE_COLUMNS, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from pymatgen.core import Structure

    from matgen.execution import Executor, Row

log = logging.getLogger(__name__)

VOLUME = 0.1
"""Structures are compared if the logarithms of their volumes per atom differ by no more, that is by about 10 %,"""

DISTANCES = 0.02
"""and their average minimum distances by no more, on average, in units of the cube root of the volume per atom."""

SAME = 0.01
"""Matching structures closer than this are the same even where their space groups differ by a hair."""

NEAREST = 5
"""Candidates that each structure is compared with, nearest first."""

SECONDS = 60.0
SECONDS_EACH = 1.0
"""Time limit for a set of structures that resemble each other: so much, and so much more for each structure."""


@dataclass(frozen=True)
class Duplicates:
    """Which rows hold the same structure.

    Args:
        group: (N,) number of the group of each row; rows with the same number match.
        unchecked: Positions of rows whose comparison failed or took too long.
    """

    group: np.ndarray
    unchecked: tuple[int, ...]


def find_duplicates(table: pd.DataFrame, executor: Executor) -> Duplicates:
    """Group rows that hold the same structure.

    Args:
        table: N rows with ``formula``, ``volume_per_atom``, ``amd`` and structure columns.
        executor: Compares sets of similar structures.
    """
    group = np.arange(len(table))
    sets = list(_similar(table))
    columns = {name: table[name].tolist() for name in STRUCTURE_COLUMNS}
    items = [
        {**{name: [column[i] for i in members] for name, column in columns.items()}, "pairs": pairs}
        for members, pairs in sets
    ]
    longest = max((len(members) for members, _ in sets), default=0)
    limit = SECONDS + SECONDS_EACH * longest
    rows = executor.map(match, items, name="compare similar structures", shard=16, seconds=limit)
    unchecked: list[int] = []
    for (members, _), row in zip(sets, rows, strict=True):
        if "error" in row:
            log.warning("%d structures like row %d were not compared: %s", len(members), members[0], row["error"])
            unchecked += members
        else:
            group[members] = np.asarray(members)[row["first"]]
    return Duplicates(group, tuple(sorted(unchecked)))


def is_same(table: pd.DataFrame, one: int, two: int) -> bool:
    """Whether matching rows are the same phase: of one space group, or closer than :data:`SAME`.

    The matcher alone is lenient: it also takes a distorted phase for the undistorted one.
    """
    a, b = table.iloc[one], table.iloc[two]
    if a["space_group"] == b["space_group"]:
        return True
    return bool(np.abs(np.subtract(a["amd"], b["amd"])).max() <= SAME)


def match(items: Sequence[Row]) -> list[Row]:
    """For each set of structures, the index of the first one that each matches (its own if none)."""
    return [{"first": _match(unpack(item), item["pairs"])} for item in items]


def _match(structures: list[Structure], pairs: list[list[int]]) -> list[int]:
    """Compare with earlier structures that have no match themselves, nearest first."""
    matcher = StructureMatcher()
    first = list(range(len(structures)))
    for i, candidates in groupby(pairs, key=itemgetter(0)):
        unmatched = (j for _, j in candidates if first[j] == j)
        first[i] = next((j for j in islice(unmatched, NEAREST) if matcher.fit(structures[i], structures[j])), i)
    return first


def _similar(table: pd.DataFrame) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Sets of positions that resemble each other, and the pairs to compare: index, earlier index, nearest first."""
    if table.empty:
        return
    if len(table) < 2:
        return
    volume = np.log(table["volume_per_atom"].to_numpy(dtype=float))
    distances = np.array(table["amd"].tolist(), dtype=float).reshape(len(table), -1)
    for rows in table.groupby("formula", sort=False).indices.values():
        if len(rows) < 2:
            continue
        radius = DISTANCES * distances.shape[1]
        pairs = cKDTree(distances[rows]).query_pairs(radius, p=1, output_type="ndarray")
        pairs = pairs[np.abs(volume[rows][pairs[:, 0]] - volume[rows][pairs[:, 1]]) <= VOLUME]
        apart = np.abs(distances[rows][pairs[:, 0]] - distances[rows][pairs[:, 1]]).sum(axis=1)
        pairs = np.sort(pairs, axis=1)[:, ::-1][np.lexsort((apart, pairs.max(axis=1)))]
        links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(rows),) * 2)
        _, component = connected_components(links, directed=False)
        for label in np.unique(component[pairs[:, 0]]):
            members = np.flatnonzero(component == label)
            inside = pairs[component[pairs[:, 0]] == label]
            yield rows[members].tolist(), np.searchsorted(members, inside).tolist()
