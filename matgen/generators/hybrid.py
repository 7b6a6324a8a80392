"""Retrieval judged by a potential: several structures for each request, relaxed, the one of lowest energy kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matgen.data.candidates import Candidates
from matgen.data.structures import from_batch, to_batch
from matgen.errors import ConfigError
from matgen.execution import Serial
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.retrieval import Retrieval, each_first
from matgen.runtime import Streams, content_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure
    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request

MARGIN = 0.03
"""eV/atom; of structures that lie so near to the lowest, the one that retrieval thinks most likely is taken.

Errors of a potential between polymorphs are of this size, and what is known of related compounds decides better."""


@GENERATORS.register("hybrid")
class Hybrid(Generator):
    """Retrieval proposes several structures, a potential relaxes them, and the lowest in energy is taken.

    With a formula, the ``candidates`` most likely structures are compared by energy per atom; sample ``i`` is the i-th
    lowest. Without one, each sample is the lowest above the reference hull of ``candidates`` proposals. Energies are
    those of the potential. Structures are returned relaxed.

    Args:
        library: As for ``retrieval``.
        candidates: Structures compared for each sample.
        ranker: As for ``retrieval``.
        potential: Name of the potential.
        reference: Reference table whose hull judges proposals of different compositions.
        fmax: Largest force of a relaxed structure, eV/Å.
        steps: Relaxation steps at most; a structure that has not converged by then is taken as it is.
        margin: Energies within so many eV/atom of the lowest count as equal.
        max_atoms: As for ``retrieval``.
    """

    name = "hybrid"
    conditions = Retrieval.conditions

    def __init__(
        self,
        library: str | None = None,
        candidates: int = 4,
        ranker: str = "shipped",
        potential: str = "chgnet",
        reference: str = "chgnet-0.3.0",
        fmax: float = 0.1,
        steps: int = 60,
        margin: float = MARGIN,
        max_atoms: int = 20,
    ) -> None:
        if candidates < 1 or steps < 1 or fmax <= 0 or margin < 0:
            raise ConfigError(
                f"candidates={candidates}, steps={steps}, fmax={fmax}, margin={margin}.",
                where=self.name,
                fix="Give at least 1 candidate and step, fmax above 0 and a margin of 0 or more.",
            )
        super().__init__(
            library=library,
            candidates=candidates,
            ranker=ranker,
            potential=potential,
            reference=reference,
            fmax=fmax,
            steps=steps,
            margin=margin,
            max_atoms=max_atoms,
        )
        self.candidates, self.potential, self.reference = candidates, potential, reference
        self.fmax, self.steps, self.margin = fmax, steps, margin
        self._given: Retrieval | None = None

    @classmethod
    def over(cls, retrieval: Retrieval, **config: Any) -> Hybrid:
        """A generator whose retrieval is in memory."""
        made = cls(**config)
        made._given = retrieval
        return made

    @property
    def fingerprint(self) -> str:
        """Identifies the settings and what the library holds."""
        return content_id(self.name, {**self.config, "library": None}, self.retrieval.fingerprint)

    @cached_property
    def retrieval(self) -> Retrieval:
        """What proposes."""
        if self._given is not None:
            return self._given
        library: str | None = self.config["library"]
        return Retrieval(library=library, ranker=self.config["ranker"], max_atoms=self.config["max_atoms"])

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` structures; ``options`` are those of retrieval."""
        request.require_honoured_by(self.conditions, self.name)
        if request.formula is None:
            return to_batch(self._proposal(request, rng.at(i), constraints, options) for i in range(request.n))
        last = rng.start + request.n
        asked = replace(request, n=max(self.candidates, last))
        found = from_batch(self.retrieval.sample(asked, rng=replace(rng, start=0), constraints=constraints, **options))
        return to_batch(self._ordered(found, "energy")[rng.start : last])

    def sample_each(
        self, requests: Sequence[Request], *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """One structure for each request; for a formula the lowest in energy, wherever it stands in the list."""
        return each_first(self, requests, rng, constraints, options)

    def _proposal(
        self, request: Request, stream: np.random.Generator, constraints: Sequence[Constraint], options: dict[str, Any]
    ) -> Structure:
        own = Streams(int(stream.integers(2**62)), self.name)
        asked = replace(request, n=self.candidates)
        found = self.retrieval.sample(asked, rng=own, constraints=constraints, **options)
        return self._ordered(from_batch(found), "e_above_hull")[0]

    def _ordered(self, structures: Sequence[Structure], by: str) -> list[Structure]:
        """Relaxed structures, lowest first; those within the margin of the lowest, and failed ones, as proposed."""
        from matgen.stability.hull import hull
        from matgen.stability.relaxation import relax

        table = pd.DataFrame({"id": [str(i) for i in range(len(structures))]})
        made = relax(
            Candidates(table, list(structures)),
            self.potential,
            fmax=self.fmax,
            max_steps=self.steps,
            executor=Serial(),
        )
        if by == "e_above_hull":
            made = hull(made, self.reference)
        places, energies = made.table["id"].astype(int).to_numpy(), made.table[by].to_numpy(dtype=float)
        lowest = energies.min(initial=np.inf)
        level = np.where(energies <= lowest + self.margin, lowest, energies)
        order = np.lexsort((places, level))
        failed = [structures[i] for i in range(len(structures)) if i not in set(places)]
        return [*(made.structures[k] for k in order), *failed]
