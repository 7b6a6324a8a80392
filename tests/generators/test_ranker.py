"""The ranker: what it is told, what it chooses, and that it learns what a library can teach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from matgen.errors import ConfigError
from matgen.generators.placement_features import placement_features
from matgen.generators.ranker import likeness, match_probability, most_likely_first, shipped_ranker, votes_by_cost
from matgen.generators.ranker_training import train_ranker
from matgen.generators.templates import TemplateLibrary

ANIONS, CATIONS = ("F", "Cl", "Br", "I"), ("Li", "Na", "K", "Rb", "Cs", "Ag", "Cu", "Tl", "Au", "Fr", "H", "In", "Ga")


def _rock_salt(cation, anion):
    return Structure(Lattice.from_parameters(4, 4, 4, 60, 60, 60), [cation, anion], [[0] * 3, [0.5] * 3])


def _zinc_blende(cation, anion):
    return Structure(Lattice.from_parameters(4, 4, 4, 60, 60, 60), [cation, anion], [[0] * 3, [0.25] * 3])


@pytest.fixture(scope="module")
def halides():
    """Fluorides and chlorides are rock salt here, bromides and iodides zinc blende."""
    return TemplateLibrary.from_structures(
        [(_rock_salt if anion in ("F", "Cl") else _zinc_blende)(c, anion) for c in CATIONS for anion in ANIONS]
    )


def test_likeness_tells_types_apart(halides):
    placements = halides.placements({19: 1, 9: 1}, 60)
    alike = likeness(halides, placements)
    rock_salt = np.array([bool({9, 17} & set(halides.templates[i].elements)) for i in placements.template])
    assert alike[np.ix_(rock_salt, rock_salt)].min() > 0.95
    assert alike[np.ix_(rock_salt, ~rock_salt)].max() < 0.5
    assert match_probability(np.array([0.0, 10.0])).tolist() == [1.0, 0.0]


def test_features_are_finite_and_know_the_unchanged(halides):
    placements = halides.placements({19: 1, 9: 1}, 60)
    found = placement_features(halides, placements, likeness(halides, placements))
    assert all(v.shape == (60,) and np.isfinite(v).all() for v in found.values())
    (same,) = np.flatnonzero(found["unchanged"])
    assert found["cost"][same] == 0
    assert found["log_volume_ratio"][same] == pytest.approx(0)
    assert found["radii_shift"][same] == pytest.approx(0)


def test_a_library_teaches_its_rule(halides):
    ranker = train_ranker(halides, epochs=60)
    for anion, expected in ((9, True), (17, True), (35, False), (53, False)):
        composition = {19: 1, anion: 1}
        known = next(i for i, t in enumerate(halides.templates) if set(t.elements) == set(composition))
        placements = halides.placements(composition, 60, skip=known)
        votes = ranker.votes(halides, placements, likeness(halides, placements))
        first = halides.templates[placements.template[int(votes.argmax())]]
        assert votes.sum() == pytest.approx(1)
        assert (set(first.elements) & {9, 17} != set()) is expected


def test_training_repeats_and_leaves_the_callers_stream_alone(halides):
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first, second = (train_ranker(halides, epochs=2).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.rand(1) == before


def test_a_small_library_teaches_nothing(perovskite, rocksalt):
    with pytest.raises(ConfigError, match="teach"):
        train_ranker(TemplateLibrary.from_structures([perovskite, rocksalt]))


def test_next_answers_cover_what_the_first_leaves_open():
    alike = np.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert most_likely_first(np.array([0.3, 0.3, 0.4]), alike, 3)[0] in (0, 1)  # two votes for one structure
    assert most_likely_first(np.array([0.3, 0.3, 0.4]), alike, 3)[1:] == [2]  # the twin is no second answer


def test_without_a_ranker_the_order_is_that_of_the_costs(halides):
    placements = halides.placements({11: 1, 17: 1}, 20)
    assert (np.diff(votes_by_cost(placements)) < 0).all()


def test_shipped_ranker_reads_every_feature_it_was_trained_on(halides):
    placements = halides.placements({11: 1, 17: 1}, 20)
    votes = shipped_ranker().votes(halides, placements, likeness(halides, placements))
    assert votes.sum() == pytest.approx(1)
    assert np.isfinite(votes).all()
