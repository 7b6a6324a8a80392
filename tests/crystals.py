"""Random crystals for property-based tests, from roomy to absurdly crowded."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

ELEMENTS = ("H", "Li", "C", "O", "F", "Na", "Ti", "Fe", "Sr", "Te", "Cs", "Pb", "U")


@st.composite
def crystals(draw: st.DrawFn, max_atoms: int = 8) -> Structure:
    """Up to ``max_atoms`` atoms at random in a random cell of 0.05 to 1,000 Å³ an atom."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, max_atoms))
    kinds = draw(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=4))
    volume = n * 10 ** draw(st.floats(-1.3, 3))
    cell = np.eye(3) + draw(st.floats(0, 0.9)) * rng.normal(size=(3, 3))
    cell *= (volume / abs(np.linalg.det(cell))) ** (1 / 3)
    return Structure(Lattice(cell), [kinds[i % len(kinds)] for i in range(n)], rng.random((n, 3)))
