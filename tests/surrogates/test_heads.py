"""Heads against the library that they are made from, and against what can be said by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from matgen.data.property import find_property
from matgen.errors import ConfigError, DataError
from matgen.surrogates.boosting import Boosted
from matgen.surrogates.embedding import EmbeddingSurrogate, embeddings
from matgen.surrogates.forest import Trees
from matgen.surrogates.process import Kernel, Posterior
from matgen.surrogates.vector import PARTS, parts


def rows(n: int, size: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, size)).astype(np.float32)
    return vectors, np.sin(vectors[:, 0]) + 0.5 * vectors[:, 1] + 0.05 * rng.normal(size=n)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "quantile"])
def test_boosted_arrays_answer_as_the_library_does(loss):
    vectors, values = rows(300)
    extra = {"quantile": 0.9} if loss == "quantile" else {}
    model = HistGradientBoostingRegressor(loss=loss, max_iter=20, max_leaf_nodes=6, **extra).fit(vectors, values)
    fresh = rows(200, seed=1)[0]
    boosted = Boosted.of(model)
    np.testing.assert_allclose(boosted.predict(fresh), model.predict(fresh), atol=1e-5)
    np.testing.assert_array_equal(Boosted.restored(boosted.arrays()).predict(fresh), boosted.predict(fresh))


def test_the_first_trees_of_a_forest():
    vectors, values = rows(100)
    forest = RandomForestRegressor(7, random_state=0).fit(vectors, values)
    first = Trees.of(forest).first(3).predict(vectors)
    np.testing.assert_allclose(first, np.array([tree.predict(vectors) for tree in forest.estimators_[:3]]).T, atol=1e-6)
    assert Trees.of(forest).first(7).predict(vectors).shape == (100, 7)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_with_all_rows_inducing_the_process_is_exact(smoothness):
    vectors, values = rows(60)
    kernel = Kernel(variance=1.3, length=1.7, noise=0.05, smoothness=smoothness)
    shape = ConstantKernel(1.3) * Matern(1.7, nu=smoothness)
    exact = GaussianProcessRegressor(shape, alpha=0.05, optimizer=None).fit(vectors, values)
    fresh = rows(40, seed=1)[0]
    mean, std = Posterior.of(kernel, vectors, vectors, values).predict(fresh)
    wanted, spread = exact.predict(fresh, return_std=True)
    np.testing.assert_allclose(mean, wanted, atol=2e-3)
    np.testing.assert_allclose(std, np.sqrt(spread**2 + 0.05), atol=2e-3)


def test_few_inducing_rows_come_near_the_exact_process():
    vectors, values = rows(400, size=2)
    kernel = Kernel.learned(vectors[:150], values[:150] / values.std(), 2.5)
    fresh = rows(100, size=2, seed=1)[0]
    exact = Posterior.of(kernel, vectors, vectors, values).predict(fresh)[0]
    few = Posterior.of(kernel, vectors[:80], vectors, values).predict(fresh)[0]
    assert np.abs(few - exact).mean() < 0.1 * np.abs(exact - exact.mean()).mean()


def test_far_from_all_rows_a_process_knows_nothing():
    vectors, values = rows(50)
    kernel = Kernel(variance=2.0, length=1.0, noise=0.1, smoothness=1.5)
    mean, std = Posterior.of(kernel, vectors[:20], vectors, values).predict(np.full((1, 4), 50.0))
    assert mean[0] == pytest.approx(0.0, abs=1e-6)
    assert std[0] == pytest.approx(np.sqrt(2.1), abs=1e-6)


def test_parts_are_even_and_repeatable():
    one, other = (parts(23, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert np.ptp(np.bincount(one, minlength=PARTS)) <= 1


def test_embeddings_are_the_same_for_every_cell(rocksalt):
    moved = rocksalt.copy().translate_sites(list(range(len(rocksalt))), [0.1, 0.2, 0.3])
    found = embeddings([rocksalt, moved, rocksalt * (1, 1, 2)], "chgnet")
    assert found.shape == (3, 128)
    np.testing.assert_allclose(found[1:], found[[0, 0]], atol=1e-4)


def test_energies_are_read_from_what_is_embedded(rocksalt):
    """The embedding holds what CHGNet's energy is made of: its last layers on it give the energy back for one atom."""
    import torch

    from matgen.data.structures import to_batch
    from matgen.stability.potential import load_potential

    potential = load_potential("chgnet")
    silicon = Structure(Lattice.cubic(2.5), ["Si"], [[0, 0, 0]])
    batch = to_batch([silicon])
    vector = torch.from_numpy(potential.embeddings(batch)[0, :64]).float()
    constant = potential.network.model.composition_model.fc.weight[0, 13].item()
    energy = potential.network.model.mlp(vector[None]).item() + constant
    assert energy == pytest.approx(potential.evaluate(batch, forces=False).energy[0], abs=1e-4)
    assert not potential.embeddings(batch)[0, 64:].any()


def test_codes_of_a_generator_are_embeddings_too(rocksalt):
    assert embeddings([rocksalt], "vae-mp20").shape == (1, 64)


def test_what_the_network_must_not_be_asked_is_zero_and_outside(training):
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]])
    assert not embeddings([overlap, training[0]], "chgnet")[0].any()
    model = EmbeddingSurrogate(find_property("density"), settings={"inducing": 50, "learned": 50})
    model.fit(training[:80], np.array([s.density for s in training[:80]]), rng=np.random.default_rng(0))
    assert model.predict([training[0], overlap]).in_domain.tolist() == [True, False]


@pytest.mark.parametrize(
    ("config", "said"), [({"source": "chgnt"}, "chgnt"), ({"source": "random-symmetric"}, "encode")]
)
def test_a_source_that_does_not_encode_is_refused(config, said, rocksalt):
    with pytest.raises(ConfigError, match=said):
        EmbeddingSurrogate(find_property("density"), **config).vectors([rocksalt])


def test_formulas_have_no_embedding():
    with pytest.raises(DataError, match="needs structures"):
        EmbeddingSurrogate(find_property("density")).vectors([Composition("NaCl")])


def test_settings_of_the_head_are_checked_too():
    with pytest.raises(ConfigError, match="inducing"):
        EmbeddingSurrogate(find_property("density"), settings={"inducng": 3})
