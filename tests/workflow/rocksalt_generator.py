"""A generator in a user's own file: rock salts of light ions, with cells that are a little off."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

from matgen.data.structures import to_batch
from matgen.generators.base import GENERATORS, Generator

CATIONS, ANIONS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Mn", "Zn"], ["F", "Cl", "Br", "O", "S"]


@GENERATORS.register("rocksalt")
class RockSalt(Generator):
    """Rock salts."""

    name = "rocksalt"
    conditions = frozenset()

    def sample(self, request, *, rng, constraints=()):
        return to_batch([self._one(stream) for stream in rng.many(request.n)])

    def _one(self, rng):
        pair = [str(rng.choice(CATIONS)), str(rng.choice(ANIONS))]
        a = rng.uniform(3.0, 4.2)
        return Structure(Lattice.from_parameters(a, a, a, 60, 60, 60), pair, [[0, 0, 0], [0.5, 0.5, 0.5]])
