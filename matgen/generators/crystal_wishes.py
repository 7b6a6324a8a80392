"""From a request, constraints and examples to what the grammar of crystals holds to."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from pymatgen.core import Composition

from matgen.constraints.allowed_elements import RequiredElements
from matgen.constraints.composition import ChemicalSystem, Formula, NumberOfAtoms
from matgen.elements import number
from matgen.errors import ConfigError
from matgen.features.symmetric import SymmetricCrystal
from matgen.features.wyckoff import positions
from matgen.generators.crystal_grammar import MOST_ELEMENTS, Wanted
from matgen.generators.masks import masking, open_elements, require_permitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.constraints.base import Constraint
    from matgen.data.request import Request
    from matgen.features.occupation import Occupation

GENERATED_SYMPREC = 0.1
"""Å; examples need not be relaxed."""


def wanted_of(
    request: Request,
    constraints: Sequence[Constraint],
    max_atoms: int,
    start: Occupation | None,
    examples: Sequence[Structure],
    stream: np.random.Generator,
) -> Wanted:
    """What is asked of one crystal.

    Args:
        request: Formula, chemical system, number of atoms, space group.
        constraints: Those with a mask that name elements, formula or size join the request.
        max_atoms: Largest primitive cell.
        start: Space group and orbits that the crystal must have.
        examples: Of whose prototypes one is drawn.
        stream: Draws the example.

    Raises:
        ConfigError: Nothing can be all this.
    """
    acting = tuple(masking(constraints))
    unit, required, sizes = _asked(request, acting, max_atoms)
    elements = np.logical_or.reduce([open_elements(size, acting) for size in sizes or {max_atoms}])
    if request.elements or any(isinstance(c, ChemicalSystem) for c in acting):
        elements = elements & np.isin(np.arange(len(elements)), list(required))
    group = request.space_group or 0
    kept: dict[int, tuple[int, ...]] = {}
    kinds: tuple[tuple[int, ...], ...] = ()
    if start is not None:
        group, kept, kinds = _begun(start)
    elif examples:
        group, _, kinds = _begun(_prototype(examples[int(stream.integers(len(examples)))]))
    if request.space_group is not None and group != request.space_group:
        raise ConfigError(f"the prompt is of space group {group}.", where="space_group", fix="Ask for that one.")
    if kinds:
        sizes &= {sum(positions(group)[k].multiplicity for kind in kinds for k in kind)}
    wanted = Wanted(sizes, elements, required, unit, group, kept, kinds)
    _require_possible(wanted)
    return wanted


def _asked(
    request: Request, constraints: Sequence[Constraint], max_atoms: int
) -> tuple[dict[int, int], frozenset[int], frozenset[int]]:
    """Unit of the formula, required elements and possible sizes."""
    formulas = [c.formula for c in constraints if isinstance(c, Formula)]
    formulas += [request.formula] if request.formula is not None else []
    units = [_unit(formula) for formula in formulas]
    if any(unit != units[0] for unit in units):
        raise ConfigError("different formulas are asked for.", where="formula")
    unit = units[0] if units else {}
    if unit:
        require_permitted(np.repeat(list(unit), list(unit.values())), constraints)
    required = {number(symbol) for symbol in request.elements}
    sizes = set(range(1, max_atoms + 1)) if request.n_atoms is None else {request.n_atoms}
    for constraint in constraints:
        if isinstance(constraint, RequiredElements):
            required |= {number(symbol) for symbol in constraint.required}
        if isinstance(constraint, ChemicalSystem):
            required |= {number(symbol) for symbol in constraint.elements}
        if isinstance(constraint, NumberOfAtoms):
            sizes &= set(range(constraint.low, constraint.high + 1))
    step = sum(unit.values())
    sizes = {size for size in sizes if size <= max_atoms and (not step or size % step == 0)}
    return unit, frozenset(required), frozenset(sizes)


def _unit(formula: str) -> dict[int, int]:
    amounts = Composition(formula).reduced_composition.get_el_amt_dict()
    return {number(symbol): round(count) for symbol, count in amounts.items()}


def read_start(text: str) -> Occupation:
    """A begun crystal from text: the space group, a colon, and orbits as element and letter, ``62: Ca c, O d``.

    Raises:
        ConfigError: It is written otherwise.
    """
    from matgen.features.occupation import Occupation

    found = re.fullmatch(r"\s*(\d+)\s*:\s*(.+)", text)
    orbits = (
        [re.fullmatch(r"([A-Z][a-z]?)\s+([a-zA-Z])", part.strip()) for part in found[2].split(",")] if found else []
    )
    if found is None or None in orbits or not 1 <= int(found[1]) <= 230:
        raise ConfigError(f"{text!r} begins no crystal.", where="start", fix="Write for example '62: Ca c, O d'.")
    return Occupation(int(found[1]), tuple((number(orbit[1]), orbit[2]) for orbit in orbits if orbit))


def _begun(start: Occupation) -> tuple[int, dict[int, tuple[int, ...]], tuple[tuple[int, ...], ...]]:
    """Group, letters by element where elements are decided, and letters of each kind where none is."""
    table = [at.letter for at in positions(start.group)]
    letters: dict[int, list[int]] = defaultdict(list)
    for z, letter in start.orbits:
        if letter not in table:
            raise ConfigError(f"space group {start.group} has no Wyckoff position {letter!r}.", where="start")
        letters[z].append(table.index(letter))
    ordered = {z: tuple(sorted(own)) for z, own in letters.items()}
    if any(z < 0 for z in ordered) and any(z > 0 for z in ordered):
        raise ConfigError("some elements of the orbits are decided and others not.", where="start")
    if all(z > 0 for z in ordered):
        return start.group, ordered, ()
    return start.group, {}, tuple(ordered.values())


def _prototype(example: Structure) -> Occupation:
    """The occupation of an example, its elements left open."""
    from matgen.features.occupation import Occupation

    crystal = SymmetricCrystal.of(example) or SymmetricCrystal.of(example, GENERATED_SYMPREC)
    if crystal is None:
        raise ConfigError(
            f"no symmetry is found in the example {example.composition.reduced_formula}.", where="examples"
        )
    return Occupation(crystal.group, tuple((-orbit.element, orbit.letter) for orbit in crystal.orbits))


def _require_possible(wanted: Wanted) -> None:
    if not wanted.sizes:
        raise ConfigError("no cell of the sizes that the model knows fits the request.", where="n_atoms")
    missing = [z for z in {*wanted.required, *wanted.unit, *wanted.kept} if not wanted.elements[z]]
    foreign = set(wanted.unit) and (wanted.required | set(wanted.kept)) - set(wanted.unit)
    if missing or foreign or not wanted.elements.any():
        raise ConfigError("the request and the constraints leave no element to choose.", where="constraints")
    if max(len(wanted.required | set(wanted.kept)), len(wanted.unit)) > min(MOST_ELEMENTS, max(wanted.sizes)):
        raise ConfigError("more elements are asked for than fit.", where="chemical_system")


def refuse(wanted: Wanted, constraints: Sequence[Constraint]) -> NoReturn:
    """Say that no formula was found, though many were drawn."""
    what = "the space group and the constraints" if wanted.group else "the constraints"
    names = ", ".join(constraint.name for constraint in constraints)
    raise ConfigError(
        f"the model found no formula that {what} allow.",
        where=names or "space_group",
        fix="Ask for another size, space group or composition.",
    )
