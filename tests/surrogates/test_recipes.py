"""Every property that the package speaks of has a recipe, and every recipe can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from matgen.data.property import PROPERTIES, find_property
from matgen.data.structures import write_structures
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.storage import shipped
from matgen.surrogates.tables import FormulaTable
from matgen.surrogates.training import read_rows
from matgen.workflow.recipe import read_recipe
from matgen.workflow.surrogate_recipe import SurrogateRecipe

from .conftest import crystals

RECIPES = sorted((Path(__file__).parents[2] / "workflows" / "surrogates").glob("*.yaml"))
WANTED = {
    *("e_form", "e_above_hull", "band_gap", "expt_band_gap", "metallicity", "log10_bulk_modulus"),
    *("log10_shear_modulus", "debye_temperature", "log10_thermal_conductivity", "thermal_expansion"),
    *("refractive_index", "log10_dielectric_constant", "log10_piezoelectric_modulus", "superconducting_tc"),
    *("log10_ionic_conductivity", "log10_exfoliation_energy", "yield_strength"),
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds_its_surrogate(path):
    recipe = read_recipe(SurrogateRecipe, path, [])
    recipe.declare()
    SURROGATES.get(recipe.surrogate)(find_property(recipe.property), **recipe.settings)
    for fact in ("quantity", "data", "data_licence", "intended_use", "limits"):
        assert recipe.facts[fact], fact


def test_every_property_of_crystals_has_a_recipe():
    assert set(PROPERTIES) >= WANTED
    assert {read_recipe(SurrogateRecipe, path, []).property for path in RECIPES} >= WANTED


def test_no_two_shipped_models_are_the_default_of_a_property():
    defaults = [card["property"] for card in shipped().values() if card.get("default")]
    assert len(defaults) == len(set(defaults))


def test_structures_are_read_with_bound_and_logarithm_too(tmp_path):
    structures, path = crystals(4, seed=3), tmp_path / "t.parquet"
    write_structures(path, pd.DataFrame({"id": list("abcd"), "x": [10.0, 0.0, np.nan, 1000.0]}), structures)
    found, values, left_out = read_rows(path, "x", FormulaTable(None, None, True))
    assert values.tolist() == [1.0, 3.0]
    assert [s.composition for s in found] == [structures[0].composition, structures[3].composition]
    assert left_out == 2


def test_formulas_are_read_as_before(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("formula,x\nNaN,100\nNaCl,<3\nKCl,1\n")
    found, values, left_out = read_rows(path, "x", FormulaTable(log10=True))
    assert (found, values.tolist(), left_out) == ([Composition("Na1N1"), Composition("KCl")], [2.0, 0.0], 1)
