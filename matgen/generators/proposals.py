"""New compositions on templates, for samples without a formula.

Shapes: A atoms, S species.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from matgen.data.symmetry import REFINED_SYMPREC, space_group_number
from matgen.errors import ConfigError
from matgen.features.similarity import dissimilarity
from matgen.generators.masks import open_elements, permitted, required_elements, tightened
from matgen.generators.substitution import Substitution
from matgen.generators.templates import reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.generators.templates import Template, TemplateLibrary

LONGEST_SEARCH = 50
"""So many times the wished-for number of draws are made before a sample counts as impossible."""

MOST_PLACES = 6
"""Up to so many elements of a chemical system all their orders on a template's slots are drawn from."""


class Proposals:
    """Draws a template and replaces its ions by similar ones so that charges add up to zero.

    Args:
        library: Templates.
        request: Chemical system, number of atoms and space group are met exactly.
        constraints: Those with a mask are met exactly.
        max_atoms: Largest cell where the number of atoms is not asked for.
        tries: Substitutions among which each sample takes the one with the most similar elements.

    Raises:
        ConfigError: The library has no template of the size, space group and number of elements.
    """

    def __init__(
        self,
        library: TemplateLibrary,
        request: Request,
        constraints: Sequence[Constraint],
        max_atoms: int,
        tries: int,
    ) -> None:
        self.library, self.constraints, self.tries, self.group = library, constraints, tries, request.space_group
        request = tightened(request, constraints)
        self.wanted = _numbers(request)
        self.templates = [i for i, t in enumerate(library.templates) if self._fits(i, t, request, max_atoms)]
        if not self.templates:
            raise ConfigError(
                "no template of the library has the number of atoms, space group and number of elements asked for.",
                where="library",
                fix="Ask for less, or give a larger library.",
            )
        sizes = {len(library.templates[i].slots) for i in self.templates}
        allowed = np.logical_or.reduce([open_elements(size, constraints) for size in sizes])
        if len(self.wanted):
            allowed = allowed & np.isin(np.arange(len(allowed)), self.wanted)
        self.substitution = Substitution(allowed, required_elements(constraints))

    def draw(self, rng: np.random.Generator) -> tuple[Structure, int]:
        """One structure, and how many draws each of those took among which it was chosen.

        Raises:
            ConfigError: No allowed substitution was found, or none that keeps the space group.
        """
        found: list[tuple[float, int, np.ndarray]] = []
        drawn = 0
        while drawn < self.tries * LONGEST_SEARCH and len(found) < self.tries:
            drawn += 1
            index = self.templates[rng.integers(len(self.templates))]
            template = self.library.templates[index]
            filled = self._fill(template, rng)
            if filled is not None and self._is_new(template, filled):
                found.append((_cost(template, filled), index, filled))
        if not found:
            raise ConfigError(
                "no template can be filled with allowed elements in a new way.",
                where="constraints",
                fix="Allow more elements, or give a larger library.",
            )
        for _, index, filled in sorted(found, key=lambda one: one[0]):
            made = self.library.templates[index].fill(filled, self.library.volumes)
            # Scaling a template that is not exactly symmetric can move it across the tolerance.
            if self.group is None or space_group_number(made, REFINED_SYMPREC) == self.group:
                return made, -(-drawn // len(found))
        raise ConfigError(
            "no filled template keeps the space group at 0.01 Å.",
            where="space_group",
            fix="Refine the library's structures, or ask for another space group.",
        )

    def _fits(self, index: int, template: Template, request: Request, max_atoms: int) -> bool:
        atoms = len(template.slots)
        return (
            (atoms == request.n_atoms if request.n_atoms else atoms <= max_atoms)
            and (not len(self.wanted) or len(self.wanted) == len(template.elements))
            and (request.space_group is None or self.library.space_group(index) == request.space_group)
        )

    def _fill(self, template: Template, rng: np.random.Generator) -> np.ndarray | None:
        if len(self.wanted):
            return self._place(template, rng)
        return self.substitution.draw(template, rng)

    def _place(self, template: Template, rng: np.random.Generator) -> np.ndarray:
        """The elements of the chemical system on the slots: an order drawn by similarity to the template's."""
        if len(self.wanted) > MOST_PLACES:
            return rng.permutation(self.wanted)
        orders = np.array(list(permutations(self.wanted)))
        cost = dissimilarity()[orders, template.elements].mean(axis=1)
        weights = np.exp(-(cost - cost.min()) / 4.0)
        return np.asarray(orders[rng.choice(len(orders), p=weights / weights.sum())])

    def _is_new(self, template: Template, filled: np.ndarray) -> bool:
        if len(self.wanted) == 0 and reduced(filled, template.counts) in self.library.compositions:
            return False
        return permitted(filled[template.slots], self.constraints)


def _cost(template: Template, filled: np.ndarray) -> float:
    return float((template.counts * dissimilarity()[filled, template.elements]).sum() / template.counts.sum())


def _numbers(request: Request) -> np.ndarray:
    from pymatgen.core import Element

    return np.array([Element(symbol).Z for symbol in request.elements], dtype=int)
