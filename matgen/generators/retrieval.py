"""Structures from known templates: elements replaced by similar ones, the cell scaled by elemental volumes."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from pymatgen.core import Composition, Lattice, Structure

from matgen.data.structures import read_structures, to_batch
from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.errors import ConfigError, did_you_mean
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.masks import require_permitted, tightened
from matgen.generators.proposals import Proposals
from matgen.generators.prototypes import prototype_library
from matgen.generators.ranker import PlacementRanker, likeness, most_likely_first, shipped_ranker, votes_by_cost
from matgen.generators.ranker_training import train_ranker
from matgen.generators.templates import Placements, TemplateLibrary, joined
from matgen.runtime import content_id, file_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.runtime import Streams

Ranking = Literal["shipped", "library", "none"]

DATASET_TABLE = "structures.parquet"
"""The structures in a folder that ``matgen data ingest`` wrote."""

OVERSUPPLY = 4
"""Placements that are compared for each structure asked for; many of them are the same structure."""

LESSONS = 4000
"""Structures of the library that teach a ranker of its own, at most."""

RATTLE = 0.05
"""Å; standard deviation of the displacements, times the number of the round."""


@GENERATORS.register("retrieval")
class Retrieval(Generator):
    """Known structure types filled with other elements; the baseline beside every learned generator.

    With a formula, sample ``i`` is the i-th most likely structure: templates with the same atom counts, elements
    assigned to slots by the smallest sum of count x (|ΔMendeleev number| + 8 |Δelectronegativity|), ranked by a
    small learned judge, cells scaled by elemental volumes. It does not depend on the seed. Where the library has no
    further structure, the list is gone through again with displaced atoms, so that a relaxation can leave the
    template's symmetry; where a space group is asked for, without displacing them.

    Without a formula, each sample draws templates and replaces ions by similar ones so that charges add up to zero;
    required elements get a slot first. ``attempts`` tells how many draws one took that constraints allow.

    Args:
        library: Folder of an ingested data set, or a structure file; by default the structure types that come with
            matgen.
        ranker: ``shipped`` was trained on Materials Project structures; ``library`` is trained on the library when
            first needed (about a minute); ``none`` goes by the sum above alone.
        candidates: Placements of a formula that are compared.
        max_atoms: Largest cell where the number of atoms is not asked for.
        tries: Substitutions among which each sample without a formula takes the most similar.
    """

    name = "retrieval"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group"})

    def __init__(
        self,
        library: str | None = None,
        ranker: Ranking = "shipped",
        candidates: int = 128,
        max_atoms: int = 20,
        tries: int = 12,
    ) -> None:
        super().__init__(library=library, ranker=ranker, candidates=candidates, max_atoms=max_atoms, tries=tries)
        if library is not None and not Path(library).exists():
            raise ConfigError("no such data set.", where=library, fix="Make one with 'matgen data ingest'.")
        self.ranking = _known_ranking(ranker)
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
        """Identifies the settings and what the library holds, wherever it lies."""
        path, settings = self.config["library"], {**self.config, "library": None}
        if self._given is not None:
            return content_id(self.name, settings, self._given.fingerprint)
        return content_id(self.name, settings, file_id(_table(path)) if path else None)

    @cached_property
    def library(self) -> TemplateLibrary:
        """The templates, read when first needed."""
        if self._given is not None:
            return self._given
        path = self.config["library"]
        return prototype_library() if path is None else read_library(path)

    @cached_property
    def own_ranker(self) -> PlacementRanker:
        """The ranker that this library teaches; the same library always teaches the same one."""
        return train_ranker(self.library, candidates=self.candidates, most=LESSONS)

    def sample(
        self,
        request: Request,
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        ranker: Ranking | None = None,
        **options: Any,
    ) -> Batch:
        """``request.n`` structures.

        Args:
            request: What is asked.
            rng: Streams by sample index.
            constraints: Those with a mask are met exactly.
            ranker: In place of the generator's setting, for requests with a formula.
            options: None are known.
        """
        request.require_honoured_by(self.conditions, self.name)
        if options:
            raise ConfigError(f"there is no option {sorted(options)[0]!r}.", where="retrieval", fix="Known: 'ranker'.")
        request = tightened(request, constraints)
        if request.formula is not None:
            ranking = self.ranking if ranker is None else _known_ranking(ranker)
            found = self._most_likely(request, constraints, ranking, rng.start + request.n)
            spread = RATTLE if request.space_group is None else 0.0
            return to_batch(_nth(found, rng.start + i, rng.at(i), spread) for i in range(request.n))
        proposals = Proposals(self.library, request, constraints, self.max_atoms, self.tries)
        made, attempts = zip(*(proposals.draw(stream) for stream in rng.many(request.n)), strict=True)
        batch = to_batch(made)
        batch.attempts = torch.tensor(attempts)
        return batch

    def sample_each(
        self,
        requests: Sequence[Request],
        *,
        rng: Streams,
        constraints: Sequence[Constraint] = (),
        **options: Any,
    ) -> Batch:
        """One structure for each request; for a formula the most likely one, wherever it stands in the list."""
        return each_first(self, requests, rng, constraints, options)

    def _most_likely(
        self, request: Request, constraints: Sequence[Constraint], ranking: Ranking, n: int
    ) -> list[Structure]:
        """At most ``n`` distinct structures of a formula, most likely first."""
        counts = _formula_unit(request)
        require_permitted(np.repeat(list(counts), list(counts.values())), constraints)
        placements = self._placements(request, counts, max(self.candidates, OVERSUPPLY * n))
        if not len(placements):
            raise ConfigError(
                f"the library has no template for {request.formula}"
                + (" in that cell." if request.given - {"formula"} else "."),
                where="formula",
                fix="Give a larger library with --library, or use 'flow-mp20'.",
            )
        alike = likeness(self.library, placements)
        order = most_likely_first(self._votes(placements, alike, ranking), alike, n)
        chosen = [(self.library.templates[placements.template[k]], placements.elements[k]) for k in order]
        made = [template.fill(elements, self.library.volumes) for template, elements in chosen]
        if request.space_group is None:
            return made
        # Scaling a template that is not exactly symmetric can move it across the tolerance.
        kept = [crystal for crystal in made if space_group_number(crystal, REFINED_SYMPREC) == request.space_group]
        if not kept:
            raise ConfigError(
                f"no template for {request.formula} keeps the space group at 0.01 Å.",
                where="space_group",
                fix="Refine the library's structures, or ask for another space group.",
            )
        return kept

    def _placements(self, request: Request, counts: dict[int, int], limit: int) -> Placements:
        """Placements in all cell sizes that the request leaves open."""
        atoms = sum(counts.values())
        if request.n_atoms is not None:
            multiples = [request.n_atoms // atoms] if request.n_atoms % atoms == 0 else []
        else:
            multiples = list(range(1, max(1, self.max_atoms // atoms) + 1))
        found = [
            self.library.placements({z: n * m for z, n in counts.items()}, limit, request.space_group)
            for m in multiples
        ]
        return joined(found, limit)

    def _votes(self, placements: Placements, alike: np.ndarray, ranking: Ranking) -> np.ndarray:
        if ranking == "none":
            return votes_by_cost(placements)
        ranker = shipped_ranker() if ranking == "shipped" else self.own_ranker
        return ranker.votes(self.library, placements, alike)


def read_library(path: str | Path) -> TemplateLibrary:
    """All structures of a data set or structure file as templates."""
    table, structures = read_structures(_table(path))
    hull = table["e_above_hull"].tolist() if "e_above_hull" in table else ()
    return TemplateLibrary.from_structures(structures, hull, table["id"].astype(str).tolist() if "id" in table else ())


def _table(path: str | Path) -> Path:
    folded = Path(path) / DATASET_TABLE
    return folded if folded.exists() else Path(path)


def _known_ranking(name: str) -> Ranking:
    if name not in get_args(Ranking):
        raise ConfigError(f"there is no ranker {name!r}.", where="ranker", fix=did_you_mean(name, get_args(Ranking)))
    return name  # type: ignore[return-value]


def _formula_unit(request: Request) -> dict[int, int]:
    unit = Composition(request.formula).reduced_composition
    if request.elements and {e.symbol for e in unit} != set(request.elements):
        raise ConfigError("the formula is not of the chemical system.", where="formula")
    return {element.Z: round(amount) for element, amount in unit.items()}


def _nth(structures: Sequence[Structure], i: int, rng: np.random.Generator, spread: float) -> Structure:
    """The i-th structure; in later rounds with atoms displaced by ``spread`` (Å) times the round."""
    chosen, turn = structures[i % len(structures)], i // len(structures)
    if not turn or not spread:
        return chosen
    moved = chosen.cart_coords + rng.normal(0.0, spread * turn, (len(chosen), 3))
    return Structure(Lattice(chosen.lattice.matrix), chosen.species, moved, coords_are_cartesian=True)


def each_first(
    generator: Generator,
    requests: Sequence[Request],
    rng: Streams,
    constraints: Sequence[Constraint],
    options: dict[str, Any],
) -> Batch:
    """One structure for each request, from a generator that answers a formula with a list, best first.

    The first of the list is taken wherever the request stands; without a formula, sample ``i`` has its own stream.
    """
    from torch_geometric.data import Batch

    batches = [
        generator.sample(
            replace(request, n=1),
            rng=rng.shifted(i) if request.formula is None else replace(rng, start=0),
            constraints=constraints,
            **options,
        )
        for i, request in enumerate(requests)
    ]
    return Batch.from_data_list([batch[0] for batch in batches])
