"""Scales of the elements: finite everywhere, and in the order that chemists know."""

from __future__ import annotations

import numpy as np
import pytest

from matgen.elements import N_NUMBERS, number
from matgen.features import scales
from matgen.features.similarity import dissimilarity

ALL = (
    scales.mendeleev_scale,
    scales.electronegativity_scale,
    scales.log_covalent_radius,
    scales.log_atomic_radius,
    scales.log_ionic_radius,
    scales.group_scale,
    scales.metallic,
)


@pytest.mark.parametrize("scale", ALL)
def test_every_element_has_a_finite_value(scale):
    assert scale().shape == (N_NUMBERS,)
    assert np.isfinite(scale()).all()


@pytest.mark.parametrize("scale", [scales.log_covalent_radius, scales.log_atomic_radius, scales.log_ionic_radius])
def test_alkali_metals_grow_down_the_group(scale):
    sizes = scale()[[number(symbol) for symbol in ("Li", "Na", "K", "Rb")]]
    assert (np.diff(sizes) > 0).all()


def test_dissimilarity_is_a_distance_that_knows_neighbours():
    table = dissimilarity()
    assert (table == table.T).all()
    assert (np.diag(table) == 0).all()
    potassium = table[number("K")]
    assert potassium[number("Rb")] < potassium[number("Mg")] < potassium[number("Br")]
