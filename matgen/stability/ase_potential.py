"""Any ASE calculator as a potential: systems are evaluated one after the other."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.data.structures import from_data, to_atoms
from matgen.errors import MissingPackageError
from matgen.stability.potential import Evaluation, Potential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from torch_geometric.data import Batch


class CalculatorPotential(Potential):
    """A potential whose work is done by an ASE calculator; subclasses say which."""

    @abstractmethod
    def build(self) -> Calculator:
        """Make the calculator; called once in each process."""

    @property
    def elements(self) -> frozenset[int]:
        """All elements, unless a subclass knows better."""
        return frozenset(range(1, 119))

    @cached_property
    def _calculator(self) -> Calculator:
        return self.build()

    def calculator(self) -> Calculator:
        """The calculator itself."""
        return self._calculator

    def evaluate(self, batch: Batch, *, forces: bool = True) -> Evaluation:
        """Evaluate the systems of a batch one by one (see :class:`Potential`)."""
        energies, all_forces, stresses = [], [], []
        for atoms in _systems(batch):
            atoms.calc = self._calculator
            energies.append(float(atoms.get_potential_energy()))
            if forces:
                all_forces.append(atoms.get_forces())
                stresses.append(atoms.get_stress(voigt=False))
        if not forces:
            return Evaluation(np.array(energies))
        return Evaluation(np.array(energies), np.concatenate(all_forces), np.stack(stresses))


def _systems(batch: Batch) -> Iterator[Atoms]:
    from torch_geometric.data import Data

    for s, (a, b) in enumerate(pairwise(batch.ptr.tolist())):
        pbc = torch.ones(1, 3, dtype=torch.bool)
        one = Data(numbers=batch.numbers[a:b], frac=batch.frac[a:b], cell=batch.cell[s : s + 1], pbc=pbc)
        yield to_atoms(from_data(one))


def weights_file(path: str | None, package: str, extra: str) -> Path:
    """The weights a user points at.

    Raises:
        MissingPackageError: None was named, or there is no such file; the message says what to do.
    """
    if path is None or not Path(path).expanduser().is_file():
        what = "needs a file of weights" if path is None else f"found no weights at {path}"
        raise MissingPackageError(
            f"the potential {package!r} {what}.",
            fix=f"Install it with: pip install 'matgen[{extra}]', and give the path of its weights as 'weights'.",
        )
    return Path(path).expanduser()
