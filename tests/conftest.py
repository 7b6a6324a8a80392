"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the checkout; tests that need them skip where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference data are not beside this checkout")
    return SHARED


@pytest.fixture
def rocksalt() -> Structure:
    """NaCl, primitive cell, 2 atoms."""
    return Structure(Lattice.from_parameters(3.99, 3.99, 3.99, 60, 60, 60), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


@pytest.fixture
def perovskite() -> Structure:
    """Cubic SrTiO3, 5 atoms."""
    sites = [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    return Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], sites)


@pytest.fixture
def diamond() -> Structure:
    """Silicon, primitive cell, 2 atoms."""
    return Structure(Lattice.from_parameters(3.867, 3.867, 3.867, 60, 60, 60), ["Si", "Si"], [[0, 0, 0], [0.25] * 3])


@pytest.fixture(scope="session")
def textbook() -> list[Structure]:
    """Primitive cells of four rock salts, four cubic perovskites and three diamonds."""
    found = []
    for cation, anion, a in [("Mg", "O", 4.21), ("Na", "Cl", 5.64), ("Li", "F", 4.03), ("Ca", "S", 5.69)]:
        found.append(Structure.from_spacegroup(225, Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5] * 3]))
    for x, y, a in [("Sr", "Ti", 3.905), ("Ba", "Ti", 4.0), ("K", "Ta", 3.99), ("Ca", "Zr", 4.1)]:
        sites = [[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
        found.append(Structure(Lattice.cubic(a), [x, y, "O", "O", "O"], sites))
    for element, a in [("C", 3.567), ("Si", 5.431), ("Ge", 5.658)]:
        found.append(Structure.from_spacegroup(227, Lattice.cubic(a), [element], [[0, 0, 0]]))
    return [s.get_primitive_structure() for s in found]


@pytest.fixture(scope="session")
def small_set(textbook: list[Structure]):
    """The textbook crystals as a training set; their numbers serve as band gaps."""
    from matgen.data.batches import TrainingSet

    return TrainingSet.build(textbook, {"band_gap": [float(i) for i in range(len(textbook))]})
