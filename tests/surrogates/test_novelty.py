"""Chemistry that was not learned from is told by its elements, and intervals hold there too."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition

from matgen.data.property import find_property
from matgen.errors import ConfigError
from matgen.features.composition import MAX_Z, fractions
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.conformal import Z_LEVEL, ErrorModel, Judged
from matgen.surrogates.novelty import UNLIKE, Novelty, clusters
from matgen.surrogates.storage import load_surrogate

KNOWN = ("Li", "Na", "K", "Mg", "Ca", "Ti", "V", "Fe", "O", "S", "Cl", "N")
UNKNOWN = ("Y", "Zr", "Nb", "Mo", "Br", "P")


def alloys(n: int, elements: tuple[str, ...], seed: int) -> list[Composition]:
    """Compositions of three elements that are neighbours in the list, so that clusters hold different ones."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(elements) - 2, size=n)
    return [Composition({elements[i + j]: int(rng.integers(1, 6)) for j in range(3)}) for i in first]


def value(compositions: list[Composition]) -> np.ndarray:
    """Each element has a share of its own, which nothing but an example of it can tell."""
    share = np.random.default_rng(7).normal(size=MAX_Z + 1)
    return np.asarray(fractions(compositions) @ share)


def forest(clusters: int):
    settings = {"trees": 12, "clusters": clusters}
    model = SURROGATES.get("composition-forest")(find_property("e_form"), **settings)
    model.fit(alloys(600, KNOWN, 0), value(alloys(600, KNOWN, 0)), rng=np.random.default_rng(0))
    return model


def test_distance_is_the_share_of_atoms_to_exchange():
    known = fractions([Composition(formula) for formula in ["SrTiO3"] * 5])
    novelty = Novelty(known, 0.1)
    asked = fractions([Composition(formula) for formula in ("SrTiO3", "BaTiO3", "Ba2TiZrO6", "NaCl")])
    np.testing.assert_allclose(novelty.distance(asked), [0, 0.2, 0.3, 1], atol=1e-12)
    np.testing.assert_allclose(novelty.relative(asked), [0, 2, 3, 10], atol=1e-9)


def test_one_in_a_hundred_of_the_same_kind_is_new():
    atoms = fractions(alloys(4000, KNOWN, 1))
    novelty = Novelty.fit(atoms[:1000], atoms[1000:2000])
    assert np.mean(novelty.relative(atoms[2000:]) > 1) == pytest.approx(0.01, abs=0.008)
    assert (novelty.relative(fractions(alloys(50, UNKNOWN, 1))) > 1).all()


def test_clusters_are_those_of_the_elements():
    found = clusters(fractions([*alloys(60, KNOWN[:3], 0), *alloys(60, UNKNOWN[:3], 0)]), 2, np.random.default_rng(0))
    assert len(set(found[:60])) == len(set(found[60:])) == 1
    assert found[0] != found[-1]


def test_intervals_hold_of_elements_that_were_not_learned_from():
    plain, careful = forest(0), forest(5)
    near, far = alloys(400, KNOWN, 3), alloys(400, UNKNOWN, 3)
    held = []
    for model in (plain, careful):
        answer = model.predict(far)
        assert not answer.in_domain.any()
        assert (answer.distance > 1).all()
        held.append(np.mean(np.abs(answer.mean - value(far)) <= Z_LEVEL * answer.std))
    assert held[0] < 0.8 <= held[1]
    inside = careful.predict(near).in_domain
    np.testing.assert_array_equal(careful.predict(near).std[inside], plain.predict(near).std[inside])


def test_what_is_unlike_is_a_region_that_is_saved(tmp_path):
    model = forest(5)
    asked = [*alloys(20, KNOWN, 5), *alloys(20, UNKNOWN, 5)]
    assert set(model.judge(asked, value(asked)).regions[20:]) == {UNLIKE}
    model.save(tmp_path)
    again, answer = load_surrogate(tmp_path).predict(asked), model.predict(asked)
    np.testing.assert_allclose(again.std, answer.std, rtol=1e-6)
    np.testing.assert_array_equal(again.in_domain, answer.in_domain)
    np.testing.assert_allclose(again.distance, answer.distance, rtol=1e-6)


def test_its_factor_stays_until_enough_rows_set_it_anew():
    model = ErrorModel((0.0, 1.0), 1e-3, 1.0).beyond(Judged(np.ones((200, 1)), np.linspace(0, 10, 200)))
    assert model.regions[UNLIKE] == pytest.approx(9 / Z_LEVEL, rel=0.02)
    rows = Judged(np.ones((300, 1)), np.linspace(0, 2, 300), np.full(300, "oxides", dtype=object))
    assert model.calibrated(rows).regions[UNLIKE] == model.regions[UNLIKE]
    new = Judged(rows.signals, rows.errors, np.full(300, UNLIKE, dtype=object))
    assert model.calibrated(new).regions[UNLIKE] == pytest.approx(1.8 / Z_LEVEL, rel=0.02)


@pytest.mark.parametrize(("size", "scale"), [(99, None), (200, 1.0)])
def test_the_factor_is_neither_of_few_rows_nor_smaller_than_that_of_all(size, scale):
    model = ErrorModel((0.0, 1.0), 1e-3, 1.0).beyond(Judged(np.ones((size, 1)), np.full(size, 0.1)))
    assert model.regions.get(UNLIKE) == scale


def test_clusters_are_refused_where_they_make_no_sense():
    few = alloys(42, KNOWN, 0)
    model = SURROGATES.get("composition-forest")(find_property("e_form"), trees=4, clusters=2)
    with pytest.raises(ConfigError, match="too few to leave clusters out"):
        model.fit(few, value(few), rng=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="clusters"):
        SURROGATES.get("composition-forest")(find_property("e_form"), clusters=-1)
    molecules = SURROGATES.get("molecule-boosting")(find_property("logp"), clusters=2)
    with pytest.raises(ConfigError, match="molecules have no clusters"):
        molecules.fit(["CCO", "CCC"] * 30, np.arange(60.0), rng=np.random.default_rng(0))
