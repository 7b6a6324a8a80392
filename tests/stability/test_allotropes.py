import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from matgen.data.structures import from_atoms
from matgen.stability.allotropes import allotropes, nearest_distance, plausible


@pytest.mark.parametrize("z", [1, 14, 29, 80])
def test_each_element_starts_from_many_structures_of_itself(z):
    starts = allotropes(z)
    assert len(starts) > 40
    assert {s.atomic_numbers for s in starts} == {(z,) * n for n in {len(s) for s in starts}}


def test_nearest_distance_counts_images(rocksalt):
    assert nearest_distance(Structure(Lattice.cubic(2.5), ["Cu"], [[0, 0, 0]])) == pytest.approx(2.5)
    assert nearest_distance(Structure(Lattice.cubic(40), ["Cu"], [[0, 0, 0]])) == pytest.approx(40)
    assert nearest_distance(rocksalt) == pytest.approx(3.99 / 2**0.5)


def test_what_is_plausible():
    copper = from_atoms(bulk("Cu"))
    assert plausible(copper, 29)
    swollen, squeezed = (Structure(Lattice(copper.lattice.matrix * f), ["Cu"], [[0, 0, 0]]) for f in (1.2, 0.6))
    assert not plausible(swollen, 29)
    assert not plausible(squeezed, 29)
