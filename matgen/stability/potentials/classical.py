"""Toy potentials of ASE, for tests and first steps: EMT for a few metals, Lennard-Jones for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from matgen.stability.ase_potential import CalculatorPotential
from matgen.stability.energy import EnergyScale
from matgen.stability.potential import POTENTIALS

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

_EMT_ELEMENTS = frozenset({1, 6, 7, 8, 13, 28, 29, 46, 47, 78, 79})


@POTENTIALS.register("emt")
class EffectiveMedium(CalculatorPotential):
    """Effective medium theory (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394, 1996): Al, Ni, Cu, Pd, Ag, Pt, Au."""

    name: ClassVar[str] = "emt"

    @property
    def scale(self) -> EnergyScale:
        """EMT's own; its zero is the most stable element."""
        return EnergyScale("emt")

    @property
    def elements(self) -> frozenset[int]:
        """The metals, and H, C, N, O, whose parameters are only for play."""
        return _EMT_ELEMENTS

    def build(self) -> Calculator:
        """ASE's EMT."""
        from ase.calculators.emt import EMT

        return EMT()


@POTENTIALS.register("lennard-jones")
class LennardJones(CalculatorPotential):
    """Lennard-Jones 12-6, the same between all elements.

    Args:
        sigma: Distance at which two atoms neither gain nor lose energy, Å.
        epsilon: Depth of the well, eV.
        cutoff: Range, Å; 3 sigma if not given.
    """

    name: ClassVar[str] = "lennard-jones"

    def __init__(self, sigma: float = 2.5, epsilon: float = 0.1, cutoff: float | None = None) -> None:
        self.sigma, self.epsilon, self.cutoff = sigma, epsilon, cutoff or 3 * sigma

    @property
    def scale(self) -> EnergyScale:
        """One for each set of parameters."""
        return EnergyScale(f"lennard-jones-{self.sigma:g}-{self.epsilon:g}-{self.cutoff:g}")

    def build(self) -> Calculator:
        """ASE's Lennard-Jones with a smooth end."""
        from ase.calculators.lj import LennardJones as Calculator

        return Calculator(sigma=self.sigma, epsilon=self.epsilon, rc=self.cutoff, smooth=True)
