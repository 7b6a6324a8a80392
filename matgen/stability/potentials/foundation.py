"""Potentials of other packages, each an optional extra; their energies are raw PBE(+U), without corrections."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from matgen.errors import ConfigError
from matgen.runtime import file_id, require
from matgen.stability.ase_potential import CalculatorPotential, weights_file
from matgen.stability.energy import EnergyScale
from matgen.stability.potential import MPTRJ_ELEMENTS, POTENTIALS

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@POTENTIALS.register("sevennet")
class SevenNet(CalculatorPotential):
    """SevenNet (Park et al., J. Chem. Theory Comput. 20, 4857, 2024), with checkpoints in its wheel.

    Args:
        model: ``7net-0`` or ``7net-l3i5``, or the path of a checkpoint. The package loads checkpoints in a way that may
            run code in them: name only files that you trust.
    """

    name: ClassVar[str] = "sevennet"

    def __init__(self, model: str = "7net-0") -> None:
        self.model = model
        require("sevenn", "sevennet")

    @property
    def scale(self) -> EnergyScale:
        """One for each model."""
        return EnergyScale(f"sevennet-{Path(self.model).stem.removeprefix('7net-')}")

    @property
    def elements(self) -> frozenset[int]:
        """The 89 elements of MPtrj, on which the models of the wheel were trained."""
        return MPTRJ_ELEMENTS

    def build(self) -> Calculator:
        """SevenNet's ASE calculator on the CPU."""
        return require("sevenn.calculator", "sevennet").SevenNetCalculator(self.model, device="cpu")


class _Weights(CalculatorPotential):
    """A potential whose weights the user brings.

    Args:
        weights: Path of the weights. Such files are loaded by their own package, which may run code in them: use
            only files that you trust.
    """

    package: ClassVar[str]
    extra: ClassVar[str]

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights_file(weights, self.name, self.extra)
        require(self.package, self.extra)

    @property
    def scale(self) -> EnergyScale:
        """One for each file of weights."""
        return EnergyScale(f"{self.name}-{file_id(self.weights, 8)}")


@POTENTIALS.register("mace")
class Mace(_Weights):
    """MACE (Batatia et al., arXiv:2401.00096), from a weights file."""

    name: ClassVar[str] = "mace"
    package: ClassVar[str] = "mace"
    extra: ClassVar[str] = "mace"

    def build(self) -> Calculator:
        """MACE's ASE calculator on the CPU."""
        calculators = require("mace.calculators", self.extra)
        return calculators.MACECalculator(model_paths=str(self.weights), device="cpu", default_dtype="float64")


@POTENTIALS.register("mattersim")
class MatterSim(_Weights):
    """MatterSim (Yang et al., arXiv:2405.04967), from a weights file."""

    name: ClassVar[str] = "mattersim"
    package: ClassVar[str] = "mattersim"
    extra: ClassVar[str] = "mattersim"

    @property
    def elements(self) -> frozenset[int]:
        """The 94 elements that its networks tell apart."""
        return frozenset(range(1, 95))

    def build(self) -> Calculator:
        """MatterSim's ASE calculator on the CPU."""
        forcefield = require("mattersim.forcefield", self.extra)
        return forcefield.MatterSimCalculator(load_path=str(self.weights), device="cpu")


@POTENTIALS.register("orb")
class Orb(_Weights):
    """ORB (Neumann et al., arXiv:2410.22570), from a weights file.

    Args:
        weights: Path of the weights.
        model: Name of the loader in ``orb_models.forcefield.pretrained`` that the weights belong to.
    """

    name: ClassVar[str] = "orb"
    package: ClassVar[str] = "orb_models"
    extra: ClassVar[str] = "orb"

    def __init__(self, weights: str | None = None, model: str = "orb_v3_conservative_inf_omat") -> None:
        super().__init__(weights)
        self.model = model

    def build(self) -> Calculator:
        """ORB's ASE calculator on the CPU."""
        loaders = require("orb_models.forcefield.pretrained", self.extra)
        # Compiling takes minutes before the first energy.
        network = getattr(loaders, self.model)(weights_path=str(self.weights), device="cpu", compile=False)
        return require("orb_models.forcefield.calculator", self.extra).ORBCalculator(network, device="cpu")


@POTENTIALS.register("ase")
class AnyCalculator(CalculatorPotential):
    """Any ASE calculator that can be named.

    Args:
        calculator: ``module:Class`` of the calculator, for example ``ase.calculators.morse:MorsePotential``. The
            module is imported, which runs it.
        label: Name of the energy scale; the class's by default. Name the level of theory if settings decide it.
        correction: Correction scheme that its energies contain.
        settings: Keyword arguments of the class.
    """

    name: ClassVar[str] = "ase"

    def __init__(self, calculator: str, label: str | None = None, correction: str = "none", **settings: Any) -> None:
        self._module, _, self._class = calculator.partition(":")
        if not self._class:
            raise ConfigError(f"{calculator!r} names no calculator.", where="calculator", fix="Give 'module:Class'.")
        self._scale = EnergyScale(label or self._class.lower(), correction)
        self._settings = settings

    @property
    def scale(self) -> EnergyScale:
        """As the user called it."""
        return self._scale

    def build(self) -> Calculator:
        """The named class with the given settings."""
        try:
            return getattr(import_module(self._module), self._class)(**self._settings)
        except (ImportError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"the calculator {self._class!r} cannot be built: {error}.", where="calculator"
            ) from error
