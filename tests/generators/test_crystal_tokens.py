"""Crystals as tokens: there and back, and a grammar without dead ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from matgen.constraints.allowed_elements import AllowedElements, RequiredElements
from matgen.constraints.composition import NumberOfAtoms
from matgen.data.request import Request
from matgen.errors import ConfigError
from matgen.features.occupation import Occupation
from matgen.features.symmetric import Orbit, SymmetricCrystal
from matgen.features.wyckoff import position, positions
from matgen.generators.crystal_sequences import CrystalSequences, encode_structures, encoded
from matgen.generators.crystal_tokens import (
    COUNT,
    GROUP,
    POSITION,
    VOLUME,
    Draft,
    encode,
    first_token,
    position_tokens,
    vocabulary,
)
from matgen.generators.crystal_wishes import wanted_of

if TYPE_CHECKING:
    from matgen.generators.crystal_grammar import Wanted

MOST = 20


def rutile() -> Structure:
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )


def monoclinic() -> Structure:
    return Structure.from_spacegroup(
        "P2_1/c", Lattice.monoclinic(5.1, 5.2, 5.3, 99.2), ["Zr", "O"], [[0.28, 0.04, 0.21], [0.07, 0.33, 0.34]]
    )


def triclinic() -> Structure:
    return Structure(
        Lattice.from_parameters(4.1, 5.2, 6.3, 81, 77, 95),
        ["Na", "Cl", "O"],
        np.array([[0, 0, 0], [0.31, 0.47, 0.12], [0.63, 0.21, 0.55]]),
    )


@pytest.mark.parametrize("make", [rutile, monoclinic, triclinic])
def test_there_and_back_is_the_same_crystal(make) -> None:  # type: ignore[no-untyped-def]
    crystal = SymmetricCrystal.of(make())
    assert crystal is not None
    draft = Draft()
    for place in encode(crystal):
        assert draft.question() == place.question
        draft.write(place.token, place.offset)
    assert draft.question() is None
    again = draft.crystal()
    assert again.occupation == crystal.occupation
    assert again.cell == pytest.approx(crystal.cell)
    assert StructureMatcher().fit(again.structure(), make())


def test_the_sequence_of_rutile() -> None:
    crystal = SymmetricCrystal.of(rutile())
    assert crystal is not None
    tokens = [place.token for place in encode(crystal)]
    assert tokens[:5] == [22, first_token(COUNT) + 1, 8, first_token(COUNT) + 3, 0]
    assert tokens[5] == first_token(GROUP) + 135
    assert tokens[6:8] == [position_tokens(136)[0], position_tokens(136)[5]]  # a and f
    assert len(tokens) == 8 + 1 + 1 + 1  # volume, a / c, x


def test_a_flat_cell_is_left_out_with_a_reason() -> None:
    flat = SymmetricCrystal(123, (Orbit(29, "a"),), (1.0, 1.0, 40.0, 90.0, 90.0, 90.0))
    with pytest.raises(ValueError, match="flatter"):
        encode(flat)
    alone = encoded(Structure(Lattice.cubic(3), ["Cu", "Cu"], np.array([[0, 0, 0], [0, 0, 0.001]])), MOST, 100)
    assert isinstance(alone, str)


def test_sequences_are_cut_out_as_they_were_put_in() -> None:
    structures = [rutile(), monoclinic(), triclinic()]
    kept, sequences, left_out = encode_structures(structures, MOST, 100)
    assert kept == [0, 1, 2]
    assert not left_out
    data = CrystalSequences.build(sequences, {"band_gap": [1.0, 2.0, 3.0]})
    part = data.part(np_indices([2, 0]))
    batch = part.batch(np_indices([1, 0]))
    rows = batch.tokens
    assert rows[0][rows[0] >= 0].tolist() == [place.token for place in sequences[0]]
    assert rows[1][rows[1] >= 0].tolist() == [place.token for place in sequences[2]]
    assert batch.space_group.tolist() == [136, 1]
    assert batch.n_atoms.tolist() == [6, 3]
    assert batch.band_gap.tolist() == [1.0, 3.0]


def np_indices(values: list[int]):  # type: ignore[no-untyped-def]
    import torch

    return torch.tensor(values)


def walk(wanted: Wanted, rng: np.random.Generator) -> Draft:
    """A draft by random choices among what the grammar allows."""
    draft = Draft()
    while (asked := draft.question()) is not None and asked.kind < VOLUME:
        tokens = {COUNT: MOST, GROUP: 230}.get(asked.kind, 119)
        allowed = wanted.allowed(draft, asked, tokens)
        assert allowed.any(), f"dead end at {asked} after {draft}"
        chosen = int(rng.choice(np.flatnonzero(allowed)))
        start = position_tokens(draft.group).start if asked.kind == POSITION else first_token(asked.kind)
        draft.write(start + chosen)
        if draft.closed and not draft.group and wanted.group and not wanted.fits(draft, wanted.group):
            return draft
    return draft


def require_sound(draft: Draft) -> None:
    """Positions add up to the formula, and those without freedom occur once."""
    found: dict[int, int] = {}
    for z, at in draft.orbits:
        found[z] = found.get(z, 0) + at.multiplicity
    assert found == dict(draft.counts)
    fixed = [at.letter for _, at in draft.orbits if not at.free]
    assert len(fixed) == len(set(fixed))


REQUESTS: tuple[dict[str, object], ...] = (
    {},
    {"formula": "SrTiO3"},
    {"formula": "Fe2O3", "n_atoms": 10},
    {"chemical_system": "Mg-Si-O"},
    {"n_atoms": 7},
    {"space_group": 225},
    {"space_group": 2, "n_atoms": 11},
    {"chemical_system": "Li-Fe-P-O", "space_group": 62},
)


@settings(max_examples=40, deadline=None)
@given(asked=st.sampled_from(REQUESTS), seed=st.integers(0, 2**20))
def test_random_walks_end_in_what_was_asked(asked: dict[str, object], seed: int) -> None:
    request = Request(**asked)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    wanted = wanted_of(request, (), MOST, None, (), rng)
    draft = walk(wanted, rng)
    if wanted.group and not wanted.fits(draft, wanted.group):
        return  # the sampler draws another formula
    require_sound(draft)
    assert 1 <= draft.atoms <= MOST
    assert request.space_group in (None, draft.group)
    assert request.n_atoms in (None, draft.atoms)
    if request.formula:
        (unit,) = {n / request_unit(request.formula)[z] for z, n in draft.counts}
        assert unit == int(unit)
    if request.chemical_system:
        assert {z for z, _ in draft.counts} == {number_of(s) for s in request.elements}


def request_unit(formula: str) -> dict[int, int]:
    from pymatgen.core import Composition

    return {el.Z: int(n) for el, n in Composition(formula).reduced_composition.items()}


def number_of(symbol: str) -> int:
    from matgen.elements import number

    return number(symbol)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_constraints_on_elements_leave_no_dead_end(seed: int) -> None:
    constraints = [
        RequiredElements(("Li", "O")),
        AllowedElements(only=("Li", "O", "Na", "P", "F")),
        NumberOfAtoms(4, 9),
    ]
    rng = np.random.default_rng(seed)
    draft = walk(wanted_of(Request(), constraints, MOST, None, (), rng), rng)
    require_sound(draft)
    assert {3, 8} <= {z for z, _ in draft.counts} <= {3, 8, 11, 15, 9}
    assert 4 <= draft.atoms <= 9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_an_occupation_that_is_begun_is_kept(seed: int) -> None:
    begun = Occupation(62, ((20, "c"), (8, "d")))
    rng = np.random.default_rng(seed)
    wanted = wanted_of(Request(), (), MOST, begun, (), rng)
    draft = walk(wanted, rng)
    if not wanted.fits(draft, 62):
        return
    require_sound(draft)
    assert draft.group == 62
    orbits = [(z, at.letter) for z, at in draft.orbits]
    assert (20, "c") in orbits
    assert (8, "d") in orbits


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_an_example_gives_its_prototype(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draft = walk(wanted_of(Request(), (), MOST, None, [rutile()], rng), rng)
    assert draft.group == 136
    assert sorted(at.letter for _, at in draft.orbits) == ["a", "f"]
    assert sorted(n for _, n in draft.counts) == [2, 4]


@pytest.mark.parametrize(
    "asked",
    [
        {"formula": "SrTiO3", "n_atoms": 7},
        {"n_atoms": 21},
        {"chemical_system": "Mg-O", "n_atoms": 1},
    ],
)
def test_the_impossible_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        wanted_of(Request(**asked), (), MOST, None, (), np.random.default_rng(0))  # type: ignore[arg-type]


def test_tokens_of_kinds_follow_each_other() -> None:
    starts = [first_token(kind) for kind in (0, 2, 3, 4, 5, 6, 7, COUNT)]
    assert starts == sorted(starts)
    assert position_tokens(230).stop == first_token(VOLUME)
    assert vocabulary(MOST) == first_token(COUNT) + MOST
    assert positions(225)[0] == position(225, "a")
