"""Every registered constraint faces the same battery."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from crystals import crystals
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matgen.constraints.base import CONSTRAINTS, Constraint
from matgen.constraints.molecule import MoleculeConstraint
from matgen.constraints.specification import build_constraints, specify
from matgen.constraints.symmetry import SymmetryWish
from matgen.data.structures import from_batch, to_batch
from matgen.errors import ConfigError
from matgen.features.neighbourhood import Neighbourhood

REQUIRED_SETTINGS = {
    "expression": [
        {"rule": "n_elements <= 2 and density < 8"},
        {"rule": 'n("O") >= 2*n("Ti") and n_elements == 3'},
        {"rule": 'n("O") == 3*n("Ti") and x("Sr") > 0.15 or not n_atoms > 2'},
    ],
    "anonymous_formula": [{"formula": "ABC3"}, {"formula": "A2B"}],
    "bond_valence": [{}, {"high": 0.3, "others": "reject"}],
    "cell_shape": [{}, {"min_height": 3.0, "max_ratio": 2.0, "min_angle": 70, "max_angle": 110, "reduced": False}],
    "coordination": [{}, {"ranges": ["O 2-6", "Ti 6"], "factor": 1.3}],
    "dimensionality": [{"wanted": [3]}, {"wanted": [0, 2]}],
    "wyckoff": [{"required": ["* a"], "allowed": ["O ac"]}],
    "chemical_system": [{"system": "Na-Ti-O"}],
    "crystal_system": [{"systems": ["cubic", "triclinic"]}],
    "elements": [{}, {"only": ["O", "Ti", "Sr"]}],
    "electronegativity_mismatch": [{}, {"high": 0.5, "others": "pass"}],
    "lattice": [{"a": 4.0, "b": 4.0, "c": 5.0, "gamma": 120.0}],
    "formula": [{"formula": "SrTiO3"}, {"formula": "Fe2O3"}],
    "min_distance": [{}, {"radius_factor": 0.7}],
    "n_atoms": [{"low": 3, "high": 5}],
    "property_window": [
        {"property": "e_form", "high": -0.5, "model": "formation-energy-graph", "only_known": False},
        {"property": "band_gap", "low": 1, "high": 4, "risk": 0.3},
        {"property": "refractive_index", "low": 2},
    ],
    "pauling_order": [{}, {"low": 1.5, "include_alloys": False}],
    "perovskite": [{}, {"others": "reject"}, {"criteria": ["goldschmidt", "octahedral"], "others": "reject"}],
    "price": [{"high": 10}],
    "size_mismatch": [{}, {"others": "pass"}],
    "n_elements": [{}, {"low": 3, "high": 3}],
    "required_elements": [{"required": ["O", "Fe"]}],
    "substructure": [{"required": ["C=O"]}],
    "space_group": [{"numbers": [1, 2, 225]}],
}
CASES = [
    build_constraints([{name: given_settings}])[0]
    for name in CONSTRAINTS.names()
    for given_settings in REQUIRED_SETTINGS.get(name, [{}])
]


def having(role: str, molecules: bool = True) -> pytest.MarkDecorator:
    cases = [case for case in CASES if role in case.available()]
    cases = [case for case in cases if molecules or not isinstance(case, MoleculeConstraint)]
    return pytest.mark.parametrize("constraint", cases, ids=[f"{c.name}-{i}" for i, c in enumerate(cases)])


@having("check")
@settings(max_examples=8, deadline=None)
@given(structures=st.lists(crystals(), max_size=4))
def test_verdict_has_one_entry_a_structure_and_a_reason_exactly_where_it_fails(constraint, structures):
    verdict = constraint.check(structures)
    assert verdict.passed.shape == verdict.score.shape == (len(structures),)
    assert [reason is None for reason in verdict.reasons] == verdict.passed.tolist()
    again = constraint.check([s.copy() for s in structures])
    assert again.reasons == verdict.reasons
    assert np.array_equal(again.score, verdict.score, equal_nan=True)


@having("check")
@settings(max_examples=6, deadline=None)
@given(structures=st.lists(crystals(), min_size=2, max_size=4))
def test_structures_are_judged_independently(constraint, structures):
    together, alone = constraint.check(structures).reasons, [constraint.check([s]).reasons[0] for s in structures]
    # A network's sums depend on what it is given together, in the last digit that words show.
    number = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    assert [why and number.sub("#", why) for why in together] == [why and number.sub("#", why) for why in alone]
    for one, other in zip(together, alone, strict=True):
        shown = ([float(found[0]) for found in number.finditer(why or "")] for why in (one, other))
        np.testing.assert_allclose(*shown, rtol=0.02, atol=1e-4)


@having("penalty")
@settings(max_examples=25, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3))
def test_penalty_is_zero_exactly_where_the_check_passes(constraint, structures):
    penalty = constraint.penalty(to_batch(structures))
    assert penalty.shape == (len(structures),)
    assert (penalty >= 0).all()
    assert (penalty == 0).tolist() == constraint.check(structures).passed.tolist()


@settings(max_examples=15, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3), order=st.randoms(use_true_random=False))
def test_penalties_that_share_pairs_are_what_they_are_alone(structures, order):
    alone, shared = to_batch(structures), to_batch(structures)
    shared.neighbourhood = Neighbourhood(shared)
    guiding = [case for case in CASES if "penalty" in case.available() and case.guides]
    order.shuffle(guiding)  # who asks for the widest reach first
    for constraint in guiding:
        # A network in single precision sums pairs in another order where a wider search found them.
        assert torch.allclose(constraint.penalty(shared), constraint.penalty(alone), rtol=1e-4, atol=1e-7)


@having("penalty")
@settings(max_examples=10, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3))
def test_penalty_has_finite_gradients(constraint, structures):
    batch = to_batch(structures)
    batch.frac.requires_grad_()
    batch.cell.requires_grad_()
    penalty = constraint.penalty(batch)
    if penalty.requires_grad:  # not where elements alone decide
        penalty.sum().backward()
    for leaf in (batch.frac, batch.cell):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()


@having("penalty")
def test_penalty_survives_overlap_and_degenerate_cells(constraint):
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["Na"], [[0, 0, 0]])
    batch = to_batch([overlap, flat])
    batch.frac.requires_grad_()
    penalty = constraint.penalty(batch)
    assert (penalty == 0).tolist() == constraint.check([overlap, flat]).passed.tolist()
    if penalty.requires_grad:
        penalty.sum().backward()
        assert torch.isfinite(batch.frac.grad).all()


@having("project")
@settings(max_examples=25, deadline=None)
@given(structures=st.lists(crystals(), min_size=1, max_size=3))
def test_what_is_projected_passes_and_projecting_again_changes_nothing(constraint, structures):
    before = to_batch(structures)
    once = constraint.project(before)
    passed = constraint.check(from_batch(once)).passed
    if isinstance(constraint, SymmetryWish):  # a crystal without nearly that symmetry stays as it is
        assert all(ok or a == b for ok, a, b in zip(passed, structures, from_batch(once), strict=True))
    else:
        assert passed.all()
    twice = constraint.project(once)
    assert torch.allclose(twice.cell, once.cell, atol=1e-9)
    assert torch.allclose(twice.frac, once.frac, atol=1e-9)
    assert torch.equal(twice.numbers, once.numbers)


@having("mask", molecules=False)  # no crystal passes their checks
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 10), seed=st.integers(0, 2**32 - 1))
def test_what_a_mask_allows_passes_the_check(constraint, n, seed):
    rng = np.random.default_rng(seed)
    numbers, real = torch.zeros(1, n + 1, dtype=torch.long), torch.ones(1, n + 1, dtype=torch.bool)
    real[0, n] = False
    for atom in rng.permutation(n):
        choices = torch.nonzero(constraint.mask(numbers, real)[0, atom]).ravel().tolist()
        if not choices:
            assert not (numbers > 0).any(), "a mask led into a dead end"
            return  # no cell of this size can satisfy the constraint
        numbers[0, atom] = int(rng.choice(choices))
    structure = Structure(Lattice.cubic(20), numbers[0, :n].tolist(), rng.random((n, 3)))
    assert constraint.check([structure]).passed[0], constraint.check([structure]).reasons


@having("mask", molecules=False)  # no crystal passes their checks
@settings(max_examples=20, deadline=None)
@given(structure=crystals())
def test_a_whole_composition_is_permitted_exactly_where_it_passes_the_check(constraint, structure):
    numbers = np.array(structure.atomic_numbers)
    assert constraint.permits(numbers) == constraint.check([structure]).passed[0]


@having("mask")
def test_mask_leaves_determined_atoms_and_padding_alone(constraint):
    numbers = torch.tensor([[8, 0, 0, 0], [0, 0, 0, 0]])
    real = torch.tensor([[True, True, True, False], [True, True, False, False]])
    mask = constraint.mask(numbers, real)
    assert mask.shape == (2, 4, 119)
    assert mask.dtype == torch.bool
    assert mask[0, 0].nonzero().ravel().tolist() == [8]
    assert mask[~real].nonzero()[:, 1].tolist() == [0, 0, 0]
    assert not mask[:, :, 0][real & (numbers == 0)].any()


@pytest.mark.parametrize("constraint", CASES, ids=lambda c: c.name)
def test_a_constraint_survives_being_spelt_and_built_again(constraint):
    assert build_constraints([specify(constraint)]) == (constraint,)


@pytest.mark.parametrize("kind", [kind for _, kind in CONSTRAINTS], ids=lambda k: k.name)
def test_every_constraint_checks_and_is_documented(kind):
    assert "check" in kind.roles()
    assert kind.__doc__
    assert CONSTRAINTS.get(kind.name) is kind


def test_a_missing_role_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'charge_neutral' cannot act as 'project'.*check"):
        build_constraints(["charge_neutral"], role="project")
    with pytest.raises(ConfigError, match="cannot act as 'mask'"):
        Constraint.mask(CASES[0], torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
