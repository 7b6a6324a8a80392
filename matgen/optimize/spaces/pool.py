"""A pool of known candidates: each evaluated once, found by coordinates that chemistry gives it.

Shapes: N members of the pool, D numbers that describe one, L coordinates, A sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from matgen.data.candidates import Candidates
from matgen.data.structures import read_structures
from matgen.errors import ConfigError, DataError
from matgen.features.composition import composition_features, element_table
from matgen.optimize.spaces.base import SPACES, Option, Proposal, Space
from matgen.runtime import file_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna
    from pymatgen.core import Structure

    from matgen.execution import Executor, Row

FILE = "structures.parquet"

_FARTHEST = 0.45
"""Cell edges by which an atom may lie from the site of the common prototype."""


_MOSTLY = 0.3
"""Share of the members that have the same element on a site whose role is that of this element."""

_CONSTANT = 1e-9


@SPACES.register("pool")
@dataclass
class Pool(Space):
    """The rows of a table of structures.

    A sampler moves over coordinates, and the member nearest to a suggestion that was not taken yet is the one
    proposed, so no member comes twice.

    * ``latent``: where all members share a prototype, the L leading principal components of the element properties
      on its sites (see :func:`site_components`); otherwise those of the members' descriptions (composition statistics
      and volume per atom).
    * ``elements``: the element of each site, for members of one prototype.
    * ``member``: the row itself; only a model that knows the descriptions can use it.

    Args:
        source: An ingested data set or structure file, with an ``id``.
        coordinates: See above.
        dimensions: L.
    """

    name: ClassVar[str] = "pool"

    source: str
    coordinates: Literal["latent", "elements", "member"] = "latent"
    dimensions: Annotated[int, Field(ge=1, le=64)] = 8

    def check(self) -> None:
        """Refuse a pool that is not there, or whose members share no prototype where one is needed."""
        if not Path(self.source).exists():
            raise ConfigError("no such file or folder.", where="space.pool.source", fix="Check the path.")
        if self.coordinates == "elements" and self.sites is None:
            raise ConfigError(
                "the members do not share one prototype.", where="space.pool.coordinates", fix="Use 'latent'."
            )

    def identity(self) -> str:
        """Hash of the file."""
        return file_id(self._file)

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The nearest member that is not taken; where none is left, one that is."""
        position = self._position(trial)
        distance = np.square(self.points - position).sum(axis=1)
        distance[[self.places[key] for key in taken if key in self.places]] = np.inf
        name = self.ids[int(distance.argmin())]
        return Proposal({"member": name}, name)

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """The rows of the pool with all of their columns; the member's own id is ``material_id``."""
        rows = [self.places[item["member"]] for item in items]
        table = self.table.iloc[rows].reset_index(drop=True)
        table = table.drop(columns=["id", "material_id"], errors="ignore")
        names = pd.DataFrame({"id": list(ids), "material_id": [self.ids[row] for row in rows]})
        return Candidates(pd.concat([names, table], axis=1), [self.structures[row] for row in rows])

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, D) descriptions of members."""
        return self.descriptions[[self.places[item["member"]] for item in items]]

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Members that are not taken; all of them where n allows."""
        free = np.ones(len(self.ids), dtype=bool)
        free[[self.places[key] for key in taken if key in self.places]] = False
        rows = np.flatnonzero(free)
        if len(rows) > n:
            rows = np.sort(rng.choice(rows, n, replace=False))
        return [Option(self._parameters(row), {"member": self.ids[row]}) for row in rows.tolist()]

    @cached_property
    def _file(self) -> Path:
        path = Path(self.source)
        return path / FILE if (path / FILE).is_file() else path

    @cached_property
    def _read(self) -> tuple[pd.DataFrame, list[Structure]]:
        table, structures = read_structures(self._file)
        if not len(table):
            raise DataError("the pool is empty.", where=self.source)
        name = "id" if "id" in table else "material_id"
        if name not in table or not table[name].astype(str).is_unique:
            raise DataError(
                "the pool needs an id for each row.", where=self.source, fix="Ingest it with 'matgen data'."
            )
        return table, structures

    @property
    def table(self) -> pd.DataFrame:
        """The pool's table."""
        return self._read[0]

    @property
    def structures(self) -> list[Structure]:
        """The members, in the order of the table."""
        return self._read[1]

    @cached_property
    def ids(self) -> list[str]:
        """Their ids."""
        return [str(name) for name in self.table["id" if "id" in self.table else "material_id"]]

    @cached_property
    def places(self) -> dict[str, int]:
        """Row of each id."""
        return {name: row for row, name in enumerate(self.ids)}

    @cached_property
    def sites(self) -> np.ndarray | None:
        """(N, A) atomic number on each site of the common prototype; None where there is none."""
        return aligned(self.structures)

    @cached_property
    def descriptions(self) -> np.ndarray:
        """(N, D) numbers with mean 0 and standard deviation 1."""
        volume = np.array([[np.log(s.volume / len(s))] for s in self.structures])
        parts = [composition_features(self.structures), volume]
        if self.sites is not None:
            parts.append(element_table()[self.sites].reshape(len(self.ids), -1))
        table = np.concatenate(parts, axis=1)
        spread = table.std(axis=0)
        return (table - table.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]

    @cached_property
    def points(self) -> np.ndarray:
        """(N, ...) where each member lies among the coordinates."""
        if self.coordinates == "member":
            return np.arange(len(self.ids), dtype=float)[:, None]
        if self.coordinates == "elements" and self.sites is not None:
            return element_table()[self.sites].reshape(len(self.ids), -1)
        if self.sites is not None:
            return site_components(self.sites, self.dimensions)
        from sklearn.decomposition import PCA

        size = min(self.dimensions, *self.descriptions.shape)
        found: np.ndarray = PCA(size, random_state=0).fit_transform(self.descriptions)
        return found

    @cached_property
    def _elements(self) -> list[list[str]]:
        """Symbols that occur on each site."""
        from pymatgen.core import Element

        if self.sites is None:
            raise ConfigError("the members do not share one prototype.", where="space.pool.coordinates")
        return [[Element.from_Z(int(z)).symbol for z in np.unique(column)] for column in self.sites.T]

    def _position(self, trial: optuna.Trial) -> np.ndarray:
        if self.coordinates == "member":
            return np.array([trial.suggest_int("member", 0, len(self.ids) - 1)], dtype=float)
        if self.coordinates == "elements":
            chosen = [trial.suggest_categorical(f"site_{i}", symbols) for i, symbols in enumerate(self._elements)]
            return _site_vector(chosen)
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return np.array([trial.suggest_float(f"z{i}", low[i], high[i]) for i in range(len(low))])

    def _parameters(self, row: int) -> dict[str, Any]:
        from pymatgen.core import Element

        if self.coordinates == "member":
            return {"member": row}
        if self.coordinates == "elements" and self.sites is not None:
            return {f"site_{i}": Element.from_Z(int(z)).symbol for i, z in enumerate(self.sites[row])}
        return {f"z{i}": float(value) for i, value in enumerate(self.points[row])}


def aligned(structures: Sequence[Structure]) -> np.ndarray | None:
    """(N, A) atomic numbers with atoms in the order of the first structure's sites; None where they differ.

    Each atom goes to the nearest site, periodic images and a common shift of all atoms allowed, so that the sum of
    squared fractional distances is least; a common prototype is refused where an atom then lies more than
    :data:`_FARTHEST` from its site.
    """
    sites = structures[0].frac_coords
    if any(len(s) != len(sites) for s in structures):
        return None
    found = np.empty((len(structures), len(sites)), dtype=int)
    for row, structure in zip(found, structures, strict=True):
        order, farthest = _placed(sites, structure.frac_coords)
        if farthest > _FARTHEST:
            return None
        row[:] = np.array(structure.atomic_numbers)[order]
    return found


def site_components(sites: np.ndarray, size: int) -> np.ndarray:
    """(N, L) principal components of the element properties on each site of a prototype, the leading ones of all sites.

    Sites that mostly hold the same element, such as those of an anion, count as one with their mean properties. So the
    coordinates keep apart which element lies on which site, which components of all descriptions together forget.
    Each site's coordinates are in standard deviations of its first component.

    Args:
        sites: (N, A) atomic numbers.
        size: L, or less where the sites do not vary in so many ways.
    """
    from sklearn.decomposition import PCA

    shares, parts = list[np.ndarray](), list[np.ndarray]()
    for group in _alike(sites):
        values = element_table()[sites[:, group]].mean(axis=1)
        spread = values.std(axis=0)
        if not (spread > _CONSTANT).any():
            continue
        scaled = (values - values.mean(axis=0))[:, spread > _CONSTANT] / spread[spread > _CONSTANT]
        pca = PCA(min(size, *scaled.shape), random_state=0)
        found = pca.fit_transform(scaled)
        shares.append(pca.explained_variance_ratio_)
        parts.append(found / found[:, 0].std())
    share, points = (
        np.concatenate(shares or [np.zeros(0)]),
        np.concatenate(parts or [np.zeros((len(sites), 0))], axis=1),
    )
    leading = np.argsort(-share, kind="stable")[:size]
    return points[:, np.sort(leading[share[leading] > _CONSTANT])]


def _alike(sites: np.ndarray) -> list[list[int]]:
    """Sites in groups of those of which one and the same element holds more than :data:`_MOSTLY`."""
    groups: dict[int, list[int]] = {}
    for i, column in enumerate(sites.T):
        numbers, counts = np.unique(column, return_counts=True)
        commonest = int(counts.argmax())
        mostly = counts[commonest] > _MOSTLY * len(column)
        groups.setdefault(int(numbers[commonest]) if mostly else -1 - i, []).append(i)
    return list(groups.values())


def _placed(sites: np.ndarray, frac: np.ndarray) -> tuple[np.ndarray, float]:
    """Atom of each site (A,), and the largest distance in cell edges, for the best of all shifts that match an atom."""
    from scipy.optimize import linear_sum_assignment

    best = (np.inf, np.arange(len(sites)), np.inf)
    for shift in [np.zeros(3), *(sites[0] - frac)]:
        apart = sites[:, None] - (frac + shift)[None]
        apart -= np.round(apart)
        rows, atoms = linear_sum_assignment(np.square(apart).sum(axis=2))
        moved = apart[rows, atoms]
        moved = moved - moved.mean(axis=0)
        lengths = np.square(moved).sum(axis=1)
        if lengths.sum() < best[0] - 1e-12:
            best = (float(lengths.sum()), atoms, float(np.sqrt(lengths.max())))
    return best[1], best[2]


def _site_vector(symbols: Sequence[str]) -> np.ndarray:
    from pymatgen.core import Element

    return element_table()[[Element(symbol).Z for symbol in symbols]].ravel()
