from __future__ import annotations

import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.constraints.allowed_elements import AllowedElements, NumberOfElements, RequiredElements
from matgen.constraints.composition import AnonymousFormula, ChemicalSystem, Formula, NumberOfAtoms
from matgen.elements import number, symbols
from matgen.errors import ConfigError


def cell(*elements: str) -> Structure:
    return Structure(Lattice.cubic(10), elements, [[i / len(elements), 0, 0] for i in range(len(elements))])


def open_to(constraint, *elements: str) -> set[str]:
    """Elements that the first undetermined atom may become, with ``?`` for undetermined."""
    numbers = torch.tensor([[0 if e == "?" else number(e) for e in elements]])
    mask = constraint.mask(numbers, torch.ones_like(numbers, dtype=torch.bool))
    return {symbols()[z] for z in mask[0, elements.index("?")].nonzero().ravel().tolist()}


def test_toxic_radioactive_and_rare_elements_are_excluded_by_default():
    reasons = AllowedElements().check([cell("Na", "Cl"), cell("Pb", "O"), cell("Pa", "Te")]).reasons
    assert reasons == (None, "Pb is toxic", "Pa is radioactive and rare; Te is rare")


def test_exceptions_and_additions():
    assert AllowedElements(allow=("Te", "Pb")).check([cell("Pb", "Te")]).passed[0]
    assert AllowedElements(forbidden=("halogen",)).check([cell("Na", "Cl")]).reasons == ("Cl is forbidden",)
    only = AllowedElements(only=("Pb", "O"))
    assert only.check([cell("Pb", "O"), cell("Na", "O")]).reasons == (None, "Na is not among the wanted elements")
    assert not AllowedElements(exclude=()).check([cell("He", "He")]).reasons[0]


def test_element_lists_are_validated():
    with pytest.raises(ConfigError, match="neither an element nor a group"):
        AllowedElements(forbidden=("Xx",))
    with pytest.raises(ConfigError, match="no element is left"):
        AllowedElements(only=("O",), forbidden=("O",))
    with pytest.raises(ConfigError, match="no element"):
        RequiredElements(("Xx",))


def test_the_last_atoms_are_kept_for_required_elements():
    constraint = RequiredElements(("Fe", "O"))
    assert open_to(constraint, "Na", "?", "?") == {"Fe", "O"}
    assert open_to(constraint, "Fe", "Na", "?") == {"O"}
    assert len(open_to(constraint, "?", "?", "?")) == 118
    assert constraint.check([cell("Na", "Na"), cell("Fe", "Na")]).reasons == ("Fe and O are missing", "O is missing")


def test_number_of_elements():
    constraint = NumberOfElements(low=3, high=3)
    assert open_to(constraint, "Na", "?", "?") == set(symbols()[1:]) - {"Na"}
    assert open_to(constraint, "Na", "O", "Ti", "?") == {"Na", "O", "Ti"}
    assert constraint.check([cell("Na", "Cl")]).reasons == ("2 different elements, wanted 3",)


def test_formula():
    constraint = Formula("TiSrO3")
    assert constraint.check([cell("Sr", "Ti", "O", "O", "O"), cell("Sr", "O")]).reasons == (
        None,
        "the composition is SrO, wanted SrTiO3",
    )
    assert open_to(constraint, "O", "O", "O", "?", "?") == {"Sr", "Ti"}
    assert open_to(constraint, "?", "?", "?") == set()
    with pytest.raises(ConfigError):
        Formula("NotAFormula")
    with pytest.raises(ConfigError, match="whole atom counts"):
        Formula("La0.67Sr0.33MnO3")


def test_anonymous_formula():
    constraint = AnonymousFormula("ABX3")
    assert constraint.check([cell("Sr", "Ti", "O", "O", "O")]).passed[0]
    assert constraint.check([cell("Na", "Cl")]).reasons == ("the ratios are AB, wanted ABX3",)
    assert open_to(constraint, "O", "O", "Sr", "Ti", "?") == {"O"} | {"O", "Sr", "Ti"} - {"Sr", "Ti"}
    assert open_to(constraint, "O", "O", "O", "Sr", "?") == set(symbols()[1:]) - {"O", "Sr"}
    with pytest.raises(ConfigError, match="anonymous formula"):
        AnonymousFormula("AA3")


def test_chemical_system():
    constraint = ChemicalSystem("Li-P-S")
    assert open_to(constraint, "Li", "P", "?") == {"S"}
    assert open_to(constraint, "?", "?", "?", "?") == {"Li", "P", "S"}
    reason = constraint.check([cell("Li", "O")]).reasons[0]
    assert reason == "outside Li-P-S: P, S missing; O not wanted"


def test_number_of_atoms():
    assert NumberOfAtoms(low=2, high=2).check([cell("Na", "Cl"), cell("Na")]).reasons == (
        None,
        "1 atom in the cell, wanted 2",
    )
    with pytest.raises(ConfigError, match="low <= high"):
        NumberOfAtoms(low=3, high=2)
