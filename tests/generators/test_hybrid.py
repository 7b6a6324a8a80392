"""Retrieval judged by a potential: the battery, and polymorphs told apart by energy."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from matgen.data.request import Request
from matgen.data.structures import from_batch
from matgen.errors import ConfigError
from matgen.generators.hybrid import Hybrid
from matgen.generators.retrieval import Retrieval
from matgen.runtime import Streams
from matgen.testing import check_generator


@pytest.fixture(scope="module")
def lowest() -> Hybrid:
    return Hybrid(candidates=2, steps=1)


def test_battery_of_the_hybrid(lowest):
    check_generator(lowest, n=1)


def _draw(generator: Hybrid, **asked):
    return from_batch(generator.sample(Request(**asked), rng=Streams(0, "hybrid")))


def test_the_lowest_polymorph_comes_first():
    # Of lithium halides in the types of rock salt and caesium chloride, rock salt is lower for the light ones.
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    caesium = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for library in ([salt, caesium], [caesium, salt]):
        retrieval = Retrieval.from_structures([s.get_primitive_structure() for s in library], ranker="none")
        hybrid = Hybrid.over(retrieval, candidates=2, margin=0.0)
        first, second = _draw(hybrid, n=2, formula="LiF")
        assert first.get_space_group_info(0.1)[1] == 225
        assert second.get_space_group_info(0.1)[1] == 221
        assert first.volume / 2 == pytest.approx(8.2, rel=0.06)  # Å³/atom of LiF in CHGNet, a = 4.03 Å
    # Within a margin wider than their difference, the order of retrieval stands.
    wide = Hybrid.over(retrieval, candidates=2, margin=10.0)
    proposed = from_batch(retrieval.sample(Request(n=2, formula="LiF"), rng=Streams(0, "r")))
    assert [len(s) for s in _draw(wide, n=2, formula="LiF")] == [len(s) for s in proposed]
    assert _draw(wide, formula="LiF")[0].get_space_group_info(0.1)[1] == proposed[0].get_space_group_info(0.1)[1]


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="at least 1 candidate"):
        Hybrid(candidates=0)
