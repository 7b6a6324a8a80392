"""Where a generator that samples inside a space group gets the occupied Wyckoff positions from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pymatgen.core import Lattice, Structure

from matgen.data.symmetry import space_group_number
from matgen.elements import N_NUMBERS
from matgen.errors import ConfigError
from matgen.features.occupation import OPEN, Occupation, Subspace
from matgen.features.volumes import elemental_volumes
from matgen.features.wyckoff import positions

if TYPE_CHECKING:
    from collections.abc import Callable

    from matgen.data.request import Request
    from matgen.features.wyckoff import Position

SYMPREC = 0.01
"""Å; at this tolerance a crystal made in a space group must have just that one."""

TRIES = 400
"""Drawings of an occupation before a request counts as impossible."""

OPEN_VOLUME = 16.0
"""Å³ an atom where elements are not decided yet; only the shape of the reference cell depends on it."""

Source: TypeAlias = "Callable[[Request, np.ndarray, np.ndarray, np.random.Generator], Occupation | None]"
"""From a request with a space group, numbers of atoms with their weights, and a stream to an occupation, or None."""


def random_occupation(
    request: Request, sizes: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> Occupation | None:
    """Random Wyckoff positions; elements only where the formula gives them.

    Args:
        request: With a space group.
        sizes: Numbers of atoms that fit the request.
        weights: Of the sizes.
        rng: The sample's stream.
    """
    size = int(rng.choice(sizes, p=weights / weights.sum()))
    group = request.space_group or 1
    filled = fill(group, counted(request, size), rng)
    return None if filled is None else Occupation(group, tuple((z, p.letter) for z, p in filled))


def counted(request: Request, size: int) -> list[tuple[int, int]]:
    """Atomic number and count of each element in a cell of ``size`` atoms; one undecided kind without a formula."""
    from pymatgen.core import Composition

    if request.formula is None:
        return [(OPEN, size)]
    unit = Composition(request.formula).reduced_composition
    whole = round(size / unit.num_atoms)
    return [(element.Z, round(amount) * whole) for element, amount in sorted(unit.items())]


def fill(group: int, counts: list[tuple[int, int]], rng: np.random.Generator) -> list[tuple[int, Position]] | None:
    """Random Wyckoff positions that hold exactly these atoms; positions without freedom are used once.

    Args:
        group: Space group.
        counts: Atomic number and count in the primitive cell.
        rng: Stream.
    """
    taken: set[str] = set()
    orbits: list[tuple[int, Position]] = []
    for element, count in counts:
        left = count
        while left:
            fits = [p for p in positions(group) if p.multiplicity <= left and (p.free or p.letter not in taken)]
            if not fits:
                return None
            position = fits[int(rng.integers(len(fits)))]
            taken.add(position.letter)
            orbits.append((element, position))
            left -= position.multiplicity
    return orbits


def draw_subspace(
    request: Request, sizes: np.ndarray, weights: np.ndarray, source: Source, rng: np.random.Generator
) -> Subspace:
    """An occupation that fits the request and has no higher symmetry by itself, with random free parameters.

    Args:
        request: With a space group.
        sizes: Numbers of atoms that fit the request.
        weights: Of the sizes.
        source: Of occupations.
        rng: The sample's stream.

    Raises:
        ConfigError: None was found.
    """
    for _ in range(TRIES):
        occupation = source(request, sizes, weights, rng)
        if occupation is None:
            continue
        subspace = Subspace.draw(occupation, _volume(occupation), rng)
        if space_group_number(_distinct(subspace), SYMPREC) == occupation.group:
            return subspace
    raise ConfigError(
        "no arrangement on Wyckoff positions was found for the request.",
        where="space_group",
        fix="Ask for another number of atoms, space group or composition.",
    )


def _volume(occupation: Occupation) -> float:
    numbers = occupation.numbers
    return float(np.where(numbers == OPEN, OPEN_VOLUME, elemental_volumes()[numbers]).sum())


def _distinct(subspace: Subspace) -> Structure:
    """The crystal at the origin of the subspace, with an element of its own on each undecided orbit."""
    taken = {z for z, _ in subspace.occupation.orbits}
    free = iter([z for z in range(1, N_NUMBERS) if z not in taken])
    kinds = np.array([next(free) if z == OPEN else z for z, _ in subspace.occupation.orbits])
    return Structure(Lattice(subspace.cell), kinds[subspace.occupation.owner].tolist(), subspace.origin)
