"""Random crystals that have a space group: the baseline that knows symmetry and volume, and no chemistry.

As in random structure searching (Pickard & Needs, J. Phys. Condens. Matter 23, 053201, 2011): a space group, Wyckoff
positions whose multiplicities add up, a cell of the crystal system with a sensible volume, free coordinates at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pymatgen.core import Composition, Lattice, Structure

from matgen.data.structures import to_batch
from matgen.data.symmetry import space_group_number
from matgen.elements import covalent_radius, number, symbols
from matgen.errors import ConfigError
from matgen.features.conventional_cell import cell_parameters, free_angles, free_lengths
from matgen.features.distances import nearest_distances, reduction
from matgen.features.occupation import OPEN
from matgen.features.volumes import elemental_volumes
from matgen.features.wyckoff import centring
from matgen.generators.base import GENERATORS, Generator
from matgen.generators.masks import (
    masking,
    open_elements,
    permitted,
    require_permitted,
    required_elements,
    tightened,
)
from matgen.generators.occupations import MOST_KINDS, SYMPREC, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import Batch

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.features.wyckoff import Position
    from matgen.runtime import Streams

CLOSEST = 0.7
"""Smallest distance as a share of the sum of two covalent radii; more open drawings are preferred while tries last."""

OVERLAP = 0.5
"""Å; atoms closer than this are too close whatever their radii (two hydrogen atoms)."""

PLACES = 10
"""Random places of which an orbit takes the most open one (Mitchell, SIGGRAPH Comput. Graph. 25, 157, 1991)."""

PATIENCE = 2
"""Cells and places that are tried for Wyckoff positions before others are drawn."""

Orbits = list[tuple[int, "Position"]]
"""Element and Wyckoff position of each orbit."""


@dataclass(frozen=True)
class _Wanted:
    """What is open of one sample.

    Args:
        sizes: Of the primitive cell.
        unit: Counts by element of the formula unit, where given.
        required: Elements that must occur.
        others: Elements that may occur besides.
    """

    sizes: np.ndarray
    unit: dict[int, int]
    required: np.ndarray
    others: np.ndarray


@GENERATORS.register("random-symmetric")
class RandomSymmetric(Generator):
    """Random crystals with a space group drawn evenly among those in which the atoms have room on Wyckoff positions.

    Atoms are counted in the primitive cell. Without a formula, up to four elements are dealt to the orbits. Structures
    are symmetric by construction. Of some random places each orbit takes the most open one; a structure whose symmetry
    is found to be higher than drawn, or whose atoms still come too close, is drawn again on other Wyckoff positions.

    Args:
        max_atoms: Largest primitive cell.
        tries: Drawings of a structure before the most open one is taken.
        spread: Standard deviation of the logarithm of the volume about the sum of the elements' volumes.
    """

    name = "random-symmetric"
    conditions = frozenset({"formula", "chemical_system", "n_atoms", "space_group"})

    def __init__(self, max_atoms: int = 20, tries: int = 60, spread: float = 0.1) -> None:
        if max_atoms < 1 or tries < 1 or spread < 0:
            raise ConfigError(f"max_atoms={max_atoms}, tries={tries}, spread={spread}.", where=self.name)
        super().__init__(max_atoms=max_atoms, tries=tries, spread=spread)
        self.max_atoms, self.tries, self.spread = max_atoms, tries, spread

    def sample(
        self, request: Request, *, rng: Streams, constraints: Sequence[Constraint] = (), **options: Any
    ) -> Batch:
        """``request.n`` structures; there are no options."""
        request.require_honoured_by(self.conditions, self.name)
        if options:
            raise ConfigError(f"there is no option {sorted(options)[0]!r}.", where=self.name)
        request = tightened(request, constraints)
        wanted = self._wanted(request, constraints)
        drawn = (self._draw(request, wanted, constraints, stream) for stream in rng.many(request.n))
        made, attempts = zip(*drawn, strict=True)
        batch = to_batch(made)
        batch.attempts = torch.tensor(attempts)
        return batch

    def _wanted(self, request: Request, constraints: Sequence[Constraint]) -> _Wanted:
        unit = {}
        if request.formula is not None:
            amounts = Composition(request.formula).reduced_composition.get_el_amt_dict()
            unit = {number(symbol): round(count) for symbol, count in amounts.items()}
            require_permitted(np.repeat(list(unit), list(unit.values())), constraints)
        required = required_elements(constraints)
        if request.elements:
            required = np.array(sorted(number(symbol) for symbol in request.elements))
        sizes = self._sizes(request, sum(unit.values()), len(required), constraints)
        if unit:
            return _Wanted(sizes, unit, required, required[:0])
        elements = np.flatnonzero(np.logical_or.reduce([open_elements(int(a), constraints) for a in sizes]))
        elements = elements[np.isfinite(covalent_radius()[elements])]
        if not len(elements) or not np.isin(required, elements).all():
            raise ConfigError("the request and the constraints leave no element to choose.", where="constraints")
        others = required[:0] if request.elements else np.setdiff1d(elements, required)
        return _Wanted(sizes, unit, required, others)

    def _sizes(self, request: Request, unit: int, required: int, constraints: Sequence[Constraint]) -> np.ndarray:
        """Numbers of atoms that hold the required elements and for which the constraints leave a choice."""
        step = max(unit, 1)
        sizes = np.arange(step, self.max_atoms + 1, step)
        if request.n_atoms is not None:
            sizes = np.array([request.n_atoms]) if request.n_atoms % step == 0 else sizes[:0]
        sizes = sizes[sizes >= max(required, 1)]
        if masking(constraints) and not unit:
            sizes = np.array([a for a in sizes if open_elements(int(a), constraints).any()], dtype=int)
        if not len(sizes):
            raise ConfigError(f"no cell of at most {self.max_atoms} atoms fits the request.", where="n_atoms")
        return sizes

    def _draw(
        self, request: Request, wanted: _Wanted, constraints: Sequence[Constraint], rng: np.random.Generator
    ) -> tuple[Structure, int]:
        """A structure, and how many compositions, arrangements and coordinates were drawn for it."""
        best: Structure | None = None
        widest, attempts, left = -1.0, 0, self.tries
        for _ in range(50 * self.tries):
            group = request.space_group or int(rng.integers(1, 231))
            orbits = _orbits(group, wanted, rng)
            attempts += 1
            if not orbits or not _allowed(orbits, wanted, constraints):
                continue
            attempts -= 1
            for _ in range(PATIENCE if any(p.free for _, p in orbits) else 1):
                attempts, left = attempts + 1, left - 1
                openness, made = _arranged(group, orbits, self.spread, rng)
                if openness <= widest or space_group_number(made, SYMPREC) != group:
                    continue
                best, widest = made, openness
                if openness >= CLOSEST:
                    return made, attempts
            if best is not None and left <= 0:
                return best, attempts
        raise ConfigError(
            "no arrangement on Wyckoff positions was found for the request.",
            where="space_group",
            fix="Ask for another number of atoms, space group or composition.",
        )


def _orbits(group: int, wanted: _Wanted, rng: np.random.Generator) -> Orbits | None:
    size = int(rng.choice(wanted.sizes))
    if wanted.unit:
        step = size // sum(wanted.unit.values())
        return fill(group, [(z, n * step) for z, n in wanted.unit.items()], rng)
    # Elements are dealt to whole orbits, so that every composition drawn has its place in the group.
    filled = fill(group, [(OPEN, size)], rng)
    fewest, most = len(wanted.required), len(wanted.required) + len(wanted.others)
    if filled is None or len(filled) < fewest:
        return None
    kinds = int(rng.integers(max(1, fewest), min(max(MOST_KINDS, fewest), most, len(filled)) + 1))
    chosen = np.concatenate([wanted.required, rng.choice(wanted.others, kinds - fewest, replace=False)])
    dealt = rng.permutation(np.concatenate([chosen, rng.choice(chosen, len(filled) - kinds)]))
    return [(int(z), position) for z, (_, position) in zip(dealt, filled, strict=True)]


def _allowed(orbits: Orbits, wanted: _Wanted, constraints: Sequence[Constraint]) -> bool:
    if wanted.unit:
        return True
    numbers = np.concatenate([np.full(position.multiplicity, element) for element, position in orbits])
    return permitted(numbers, constraints)


def _arranged(group: int, orbits: Orbits, spread: float, rng: np.random.Generator) -> tuple[float, Structure]:
    """Random cell, then orbits in it, each at the most open of some random places; how open it is, and the crystal.

    Openness is the smallest distance as a share of the sum of the two covalent radii, of at least 0.7 Å.
    """
    # What cannot move stands first; the largest of the others then find the most room.
    orbits = sorted(orbits, key=lambda o: (bool(o[1].free), -covalent_radius()[o[0]]))
    numbers = np.repeat([z for z, _ in orbits], [p.multiplicity for _, p in orbits])
    basis = _basis(group, float(elemental_volumes()[numbers].sum() * np.exp(spread * rng.standard_normal())), rng)
    radii = covalent_radius()[numbers]
    change = reduction(basis)
    if change is None:
        raise ValueError("the cell is degenerate")
    reduced, back = change @ basis, np.linalg.inv(change)
    own = np.linalg.norm(reduced, axis=1).min()  # to the nearest own image
    openness, frac = float(own / max(2 * radii.max(), OVERLAP / CLOSEST)), np.zeros((0, 3))
    for _, position in orbits:
        drawn = [position.orbit(rng.random(len(position.free))) for _ in range(PLACES if position.free else 1)]
        places = np.stack(drawn)
        # The orbit and what stands already are symmetric, so its first atom sees what all of its atoms see.
        others = np.concatenate([np.broadcast_to(frac, (len(places), *frac.shape)), places[:, 1:]], axis=1)
        summed = radii[len(frac)] + radii[: others.shape[1]]
        shares = nearest_distances((others - places[:, :1]) @ back, reduced) / np.maximum(summed, OVERLAP / CLOSEST)
        found = shares.min(axis=1, initial=np.inf)
        openness = min(openness, float(found.max()))
        frac = np.concatenate([frac, places[found.argmax()]])
    return openness, Structure(Lattice(basis), [symbols()[z] for z in numbers], frac)


def _basis(group: int, volume: float, rng: np.random.Generator) -> np.ndarray:
    """(3, 3) Å primitive cell of the crystal system with a random shape."""
    lengths = np.exp(0.35 * rng.standard_normal(len(free_lengths(group))))
    angles = rng.uniform(65.0, 115.0, len(free_angles(group)))
    conventional = Lattice.from_parameters(*cell_parameters(group, lengths.tolist(), angles.tolist()))
    basis: np.ndarray = centring(group).T @ conventional.matrix
    return basis * (volume / abs(np.linalg.det(basis))) ** (1 / 3)
