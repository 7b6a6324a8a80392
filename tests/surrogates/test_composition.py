"""What the composition ensemble does beyond the common battery: formulas, and the shape of a cell."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition

from matgen.data.property import find_property
from matgen.errors import DataError
from matgen.surrogates.composition import SHAPE_FEATURES, CompositionEnsemble, shape_features

from .conftest import density, difference

SETTINGS = {"members": 2, "epochs": 40, "width": 64, "batch": 32, "rate": 3e-3, "held_out": 0.25}


def test_formulas_serve_as_well_as_structures(training, fresh):
    model = CompositionEnsemble(find_property("density"), **SETTINGS)
    formulas = [structure.composition for structure in training]
    model.fit(formulas, difference(training), rng=np.random.default_rng(0))
    one, other = model.predict(fresh), model.predict([s.composition for s in fresh])
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)


def test_shape_tells_cells_of_one_composition_apart(training, fresh):
    target = density(training)
    flat, shaped = (CompositionEnsemble(find_property("density"), **SETTINGS, shape=shape) for shape in (False, True))
    for model in (flat, shaped):
        model.fit(training, target, rng=np.random.default_rng(0))
    errors = [np.abs(model.predict(fresh).mean - density(fresh)).mean() for model in (flat, shaped)]
    assert errors[1] < 0.6 * errors[0]


def test_shape_features_by_hand(rocksalt, perovskite):
    rows = shape_features([rocksalt, perovskite])
    assert rows.shape == (2, len(SHAPE_FEATURES))
    assert rows[1, 0] == pytest.approx(np.log(3.905**3 / 5))
    assert rows[0, 1] == pytest.approx(np.log(rocksalt.density))


def test_shape_needs_a_structure():
    with pytest.raises(DataError, match="structures"):
        shape_features([Composition("NaCl")])
