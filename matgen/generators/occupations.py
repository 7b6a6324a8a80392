"""Where a generator that samples inside a space group gets the occupied Wyckoff positions from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure

from matgen.constraints.symmetry import SymmetryWish
from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.data.symmetry import space_group_number
from matgen.elements import N_NUMBERS
from matgen.errors import ConfigError
from matgen.features.observed_occupations import observed
from matgen.features.occupation import OPEN, Occupation, Subspace
from matgen.features.symmetric import SymmetricCrystal
from matgen.features.volumes import elemental_volumes
from matgen.features.wyckoff import positions
from matgen.generators.base import load_generator
from matgen.generators.masks import masking
from matgen.runtime import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matgen.constraints.base import Constraint
    from matgen.features.observed_occupations import Pattern
    from matgen.features.wyckoff import Position
    from matgen.generators.base import Generator

SYMPREC = 0.01
"""Å; at this tolerance a crystal made in a space group must have just that one."""

ADVENTURE = 0.1
"""Share of occupations that are drawn at random although known crystals could lend theirs."""

MOST_KINDS = 4
"""Different elements of a random occupation at most."""

TRIES = 400
"""Drawings of an occupation before a request counts as impossible."""

OPEN_VOLUME = 16.0
"""Å³ an atom where elements are not decided yet; only the shape of the reference cell depends on it."""

Source: TypeAlias = "Callable[[Request, np.ndarray, np.ndarray, np.random.Generator], Occupation | None]"
"""From a request with a space group, numbers of atoms with their weights, and a stream to an occupation, or None."""


OBSERVED, RANDOM = "observed", "random"


def source_of(name: str, constraints: Sequence[Constraint] = ()) -> Source:
    """Where occupations come from.

    Args:
        name: ``observed``, ``random``, or a generator that honours a space group (a shipped model or a folder). One
            that proposes occupations by themselves, as the Wyckoff transformer ``gpt`` does, is asked for those; of
            another the Wyckoff positions and elements of a crystal that it makes are taken over.
        constraints: Wishes for symmetry that project hold for all occupations; masks act in the generator.

    Raises:
        ConfigError: The generator cannot make crystals of a space group.
    """
    source = KNOWN[name] if name in KNOWN else _generating(_loaded(name), masking(constraints))
    wishes = symmetry_wishes(constraints)

    def wished(request: Request, sizes: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> Occupation | None:
        occupation = source(request, sizes, weights, rng)
        for wish in wishes:
            occupation = None if occupation is None else wish.settle(occupation, rng)
        return occupation

    return wished


def symmetry_wishes(constraints: Sequence[Constraint]) -> list[SymmetryWish]:
    """The wishes for symmetry that act as projections."""
    return [c for c in constraints if isinstance(c, SymmetryWish) and c.acts_as("project")]


@cache
def _loaded(name: str) -> Generator:
    generator = load_generator(name)
    Request(space_group=1).require_honoured_by(generator.conditions, generator.name)
    return generator


def _generating(generator: Generator, constraints: Sequence[Constraint]) -> Source:
    """Occupations from a generator under constraints with a mask."""
    propose: Callable[..., list[Occupation]] | None = getattr(generator, "propose_occupations", None)

    def generated(
        request: Request, sizes: np.ndarray, weights: np.ndarray, rng: np.random.Generator
    ) -> Occupation | None:
        asked, own = replace(request, n=1, target={}, text=None), Streams(int(rng.integers(2**62)), "occupation")
        found: Occupation | None
        if propose is not None:
            found = propose([asked], rng=own, constraints=constraints)[0]
        else:
            crystal = SymmetricCrystal.of(from_batch(generator.sample(asked, rng=own, constraints=constraints))[0])
            found = None if crystal is None else crystal.occupation
        return found if found and found.group == request.space_group and len(found.numbers) in sizes else None

    return generated


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
    if filled is None or len(filled) < len(request.elements):
        return None
    if request.formula is None:
        most = len(request.elements) or int(rng.integers(1, MOST_KINDS + 1))
        kinds = rng.permutation(np.arange(len(filled)) % most)
        filled = [(-1 - int(kind), p) for kind, (_, p) in zip(kinds, filled, strict=True)]
    return Occupation(group, tuple((z, p.letter) for z, p in filled))


def observed_occupation(
    request: Request, sizes: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> Occupation | None:
    """Wyckoff positions that are occupied together in known crystals, as often as there; now and then random ones.

    Arguments as of :func:`random_occupation`. ``weights`` only serve where no known crystal fits.
    """
    fitting = [p for p in observed(request.space_group or 1) if _fits(p, request, sizes)]
    if not fitting or rng.random() < ADVENTURE:
        return random_occupation(request, sizes, weights, rng)
    counts = np.array([p.count for p in fitting], dtype=float)
    pattern = fitting[int(rng.choice(len(fitting), p=counts / counts.sum()))]
    elements = [-1 - i for i in range(len(pattern.letters))]
    if request.formula is not None:
        left = counted(request, sum(pattern.amounts))
        for i, amount in enumerate(pattern.amounts):
            same = [pair for pair in left if pair[1] == amount]
            chosen = same[int(rng.integers(len(same)))]
            left.remove(chosen)
            elements[i] = chosen[0]
    orbits = [(z, letter) for z, own in zip(elements, pattern.letters, strict=True) for letter in own]
    return Occupation(pattern.group, tuple(orbits))


KNOWN: dict[str, Source] = {OBSERVED: observed_occupation, RANDOM: random_occupation}


def _fits(pattern: Pattern, request: Request, sizes: np.ndarray) -> bool:
    amounts = pattern.amounts
    if sum(amounts) not in sizes:
        return False
    if request.formula is not None:
        return sorted(amounts) == sorted(n for _, n in counted(request, sum(amounts)))
    return len(pattern.letters) == len(request.elements) or not request.elements


def counted(request: Request, size: int) -> list[tuple[int, int]]:
    """Atomic number and count of each element in a cell of ``size`` atoms; one undecided kind without a formula."""
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
    """The crystal at the origin of the subspace, with an element of its own for each undecided one."""
    numbers, kinds = subspace.occupation.numbers, subspace.occupation.kinds
    free = iter(np.setdiff1d(np.arange(1, N_NUMBERS), numbers))
    standing = {kind: next(free) for kind in np.unique(kinds[numbers == OPEN])}
    filled = [Element.from_Z(int(standing.get(k, z))) for k, z in zip(kinds, numbers, strict=True)]
    return Structure(Lattice(subspace.cell), filled, subspace.origin)
