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
