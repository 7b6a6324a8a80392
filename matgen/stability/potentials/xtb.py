"""Semi-empirical quantum chemistry by the tight-binding methods GFN1-xTB and GFN2-xTB."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from matgen.errors import ConfigError, did_you_mean
from matgen.runtime import require
from matgen.stability.ase_potential import CalculatorPotential
from matgen.stability.energy import EnergyScale
from matgen.stability.potential import POTENTIALS

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

METHODS = ("GFN1-xTB", "GFN2-xTB")

ELEMENTS = frozenset(range(1, 87))
"""Elements with parameters: H to Rn."""


@POTENTIALS.register("gfn2-xtb")
class Xtb(CalculatorPotential):
    """GFN2-xTB (Bannwarth et al., J. Chem. Theory Comput. 15, 1652, 2019) through tblite; for molecules first of all.

    Args:
        method: ``GFN2-xTB`` or ``GFN1-xTB``.
        accuracy: Of the self-consistent field; smaller is tighter.
    """

    name: ClassVar[str] = "gfn2-xtb"

    def __init__(self, method: str = "GFN2-xTB", accuracy: float = 1.0) -> None:
        if method not in METHODS:
            raise ConfigError(f"no method {method!r}.", where="method", fix=did_you_mean(method, METHODS))
        require("tblite", "molecules")
        self.method, self.accuracy = method, accuracy

    @property
    def scale(self) -> EnergyScale:
        """Total energies of the method, of valence electrons only."""
        return EnergyScale(self.method.lower(), "none")

    @property
    def elements(self) -> frozenset[int]:
        """H to Rn."""
        return ELEMENTS

    def build(self) -> Calculator:
        """The tblite package's own calculator, silent."""
        return require("tblite.ase", "molecules").TBLite(method=self.method, accuracy=self.accuracy, verbosity=0)
