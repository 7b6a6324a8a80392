"""Small crystals with a property that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

CATIONS, ANIONS = ("Li", "Na", "K", "Mg", "Ca", "Ti", "Fe"), ("O", "S", "F", "Cl", "N")


def crystals(n: int, seed: int) -> list[Structure]:
    """Rock-salt and caesium-chloride cells of random pairs and sizes."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        pair = [str(rng.choice(CATIONS)), str(rng.choice(ANIONS))]
        a = rng.uniform(2.6, 4.2)
        lattice = Lattice.cubic(a) if rng.random() < 0.5 else Lattice.from_parameters(a, a, a, 60, 60, 60)
        found.append(Structure(lattice, pair, [[0, 0, 0], [0.5] * 3]))
    return found


def density(structures: list[Structure]) -> np.ndarray:
    """The property to learn, g/cm³."""
    return np.array([structure.density for structure in structures])


def difference(structures: list[Structure]) -> np.ndarray:
    """A property of the composition alone: difference of electronegativities."""
    return np.array([abs(s[0].specie.X - s[1].specie.X) for s in structures])


@pytest.fixture(scope="session")
def training() -> list[Structure]:
    return crystals(240, seed=1)


@pytest.fixture(scope="session")
def fresh() -> list[Structure]:
    return crystals(80, seed=2)
