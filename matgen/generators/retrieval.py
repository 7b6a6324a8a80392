"""Structures from known templates: elements replaced by similar ones, the cell scaled by elemental volumes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, Lattice, Structure

from matgen.data.structures import read_structures, to_batch
from matgen.errors import ConfigError
from matgen.features.pair_distribution import distances_between
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.masks import require_permitted
from matgen.generators.proposals import Proposals
from matgen.generators.prototypes import prototype_library
from matgen.generators.templates import Placements, TemplateLibrary
from matgen.runtime import content_id, file_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams

DATASET_TABLE = "structures.parquet"
"""The structures in a folder that ``matgen data ingest`` wrote."""

ALIKE = 0.03
"""Placements whose pair distributions differ less are one structure."""

RATTLE = 0.05
"""Å; standard deviation of the displacements, times the number of the round."""


@GENERATORS.register("retrieval")
class Retrieval(Generator):
    """Known structure types filled with other elements; the baseline beside every learned generator.

    With a formula, sample ``i`` of a call is the i-th most similar distinct structure: templates with the same atom
    counts, elements assigned to slots by the smallest sum of count x (|ΔMendeleev number| + 8 |Δelectronegativity|),
    cells scaled by elemental volumes. It does not depend on the seed. Where the library has no further structure, the
    list is gone through again with displaced atoms, so that a relaxation can leave the template's symmetry.

    Without a formula, each sample draws templates and replaces ions by similar ones so that charges add up to zero.

    Args:
        library: Folder of an ingested data set, or a structure file; by default the structure types that come with
            matgen.
        candidates: Placements of a formula that are compared.
        max_atoms: Largest cell where the number of atoms is not asked for.
        tries: Substitutions among which each sample without a formula takes the most similar.
    """

    name = "retrieval"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group"})

    def __init__(self, library: str | None = None, candidates: int = 64, max_atoms: int = 20, tries: int = 12) -> None:
        super().__init__(library=library, candidates=candidates, max_atoms=max_atoms, tries=tries)
        if library is not None and not Path(library).exists():
            raise ConfigError("no such data set.", where=library, fix="Make one with 'matgen data ingest'.")
        self.candidates, self.max_atoms, self.tries = candidates, max_atoms, tries
        self._given: TemplateLibrary | None = None

    @classmethod
    def from_structures(
        cls, structures: Sequence[Structure], e_above_hull: Sequence[float] = (), **config: Any
    ) -> Retrieval:
        """A generator whose library is in memory."""
        made = cls(**config)
        made._given = TemplateLibrary.from_structures(structures, e_above_hull)
        return made

    @property
    def fingerprint(self) -> str:
        """Identifies the settings and what the library holds."""
        path = self.config["library"]
        if self._given is not None:
            return content_id(self.name, self.config, self._given.fingerprint)
        return content_id(self.name, self.config, file_id(_table(path)) if path else None)

    @cached_property
    def library(self) -> TemplateLibrary:
        """The templates, read when first needed."""
        if self._given is not None:
            return self._given
        path = self.config["library"]
        return prototype_library() if path is None else read_library(path)

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` structures; there are no options."""
        request.require_honoured_by(self.conditions, self.name)
        if request.formula is not None:
            found = self._most_similar(request, constraints)
            return to_batch(_nth(found, i, rng.at(i)) for i in range(request.n))
        proposals = Proposals(self.library, request, constraints, self.max_atoms, self.tries)
        return to_batch(proposals.draw(stream) for stream in rng.many(request.n))

    def _most_similar(self, request: Request, constraints: Sequence[Constraint]) -> list[Structure]:
        """At most ``request.n`` distinct structures of a formula, most similar templates first."""
        unit = Composition(request.formula).reduced_composition
        counts = {element.Z: round(amount) for element, amount in unit.items()}
        require_permitted(np.repeat(list(counts), list(counts.values())), constraints)
        if request.elements and {e.symbol for e in unit} != set(request.elements):
            raise ConfigError("the formula is not of the chemical system.", where="formula")
        atoms = sum(counts.values())
        multiples = range(1, max(1, self.max_atoms // atoms) + 1)
        if request.n_atoms is not None:
            multiples = (
                range(request.n_atoms // atoms, request.n_atoms // atoms + 1)
                if request.n_atoms % atoms == 0
                else range(0)
            )
        found = [
            self.library.placements({z: n * m for z, n in counts.items()}, self.candidates, request.space_group)
            for m in multiples
        ]
        structures = _distinct(self.library, found, request.n)
        if not structures:
            raise ConfigError(
                f"the library has no template for {request.formula}"
                + (" in that cell." if request.given - {"formula"} else "."),
                where="formula",
                fix="Give a larger library with --library, or use 'flow-mp20'.",
            )
        return structures


def read_library(path: str | Path) -> TemplateLibrary:
    """All structures of a data set or structure file as templates."""
    table, structures = read_structures(_table(path))
    hull = table["e_above_hull"].tolist() if "e_above_hull" in table else ()
    return TemplateLibrary.from_structures(structures, hull, table["id"].astype(str).tolist() if "id" in table else ())


def _table(path: str | Path) -> Path:
    folded = Path(path) / DATASET_TABLE
    return folded if folded.exists() else Path(path)


def _distinct(library: TemplateLibrary, found: Sequence[Placements], n: int) -> list[Structure]:
    """The first ``n`` structures by cost that do not look like an earlier one."""
    ordered = sorted((cost, m, k) for m, placements in enumerate(found) for k, cost in enumerate(placements.cost))
    looks: list[np.ndarray] = []
    structures: list[Structure] = []
    for _, m, k in ordered:
        index, elements = int(found[m].template[k]), found[m].elements[k]
        by_element = np.argsort(elements)
        look = library.distribution(index)[np.ix_(by_element, by_element)]
        if looks and distances_between(np.stack([*looks, look]))[-1, :-1].min() < ALIKE:
            continue
        looks.append(look)
        structures.append(library.templates[index].fill(elements, library.volumes))
        if len(structures) == n:
            break
    return structures


def _nth(structures: Sequence[Structure], i: int, rng: np.random.Generator) -> Structure:
    """The i-th structure; in later rounds with atoms displaced by 0.05 Å times the round."""
    chosen, turn = structures[i % len(structures)], i // len(structures)
    if not turn:
        return chosen
    moved = chosen.cart_coords + rng.normal(0.0, RATTLE * turn, (len(chosen), 3))
    return Structure(Lattice(chosen.lattice.matrix), chosen.species, moved, coords_are_cartesian=True)
