"""CHGNet, whose weights lie in its wheel: the default potential."""

from __future__ import annotations

import contextlib
import io
from importlib import resources
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.errors import ConfigError, MissingPackageError, did_you_mean
from matgen.stability.energy import EnergyScale
from matgen.stability.potential import MPTRJ_ELEMENTS, POTENTIALS, Evaluation, Potential

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from chgnet.model import CHGNet as Model
    from torch_geometric.data import Batch

SCALES = {"0.3.0": EnergyScale("chgnet-0.3.0", "MP2020"), "r2scan": EnergyScale("chgnet-r2scan", "none")}
"""The corrections are part of what CHGNet learned: its training energies contained them."""


@POTENTIALS.register("chgnet")
class CHGNet(Potential):
    """CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023), evaluated in batches.

    Args:
        version: ``0.3.0`` (PBE and PBE+U with MP2020 corrections) or ``r2scan``.
    """

    name: ClassVar[str] = "chgnet"

    def __init__(self, version: str = "0.3.0") -> None:
        from matgen.stability.chgnet_network import BatchedCHGNet

        if version not in SCALES:
            raise ConfigError(f"no CHGNet version {version!r}.", where="version", fix=did_you_mean(version, SCALES))
        self.version = version
        self.network = BatchedCHGNet(_model(version))
        self.cutoff = self.network.cutoff

    @property
    def scale(self) -> EnergyScale:
        """PBE(+U) with corrections for 0.3.0, bare r²SCAN for r2scan."""
        return SCALES[self.version]

    @property
    def elements(self) -> frozenset[int]:
        """Those of its training set; for the other five of the first 94 it has weights that nothing has trained."""
        return MPTRJ_ELEMENTS

    def evaluate(self, batch: Batch, *, forces: bool = True) -> Evaluation:
        """Evaluate all systems of a batch at once (see :class:`Potential`)."""
        import torch

        from matgen.stability.chgnet_network import build_graph

        with torch.set_grad_enabled(forces):
            displacement = torch.zeros_like(batch.frac, requires_grad=forces)
            strain = torch.zeros_like(batch.cell, requires_grad=forces)
            graph = build_graph(batch, displacement, strain, self.cutoff, self.network.angle_cutoff)
            energies = self.network.energies(graph)
            total = (energies.detach().double() + self.network.constants(graph)).numpy()
            if not forces:
                return Evaluation(total)
            gradient, virial = torch.autograd.grad(energies.sum(), [displacement, strain])
        volume = torch.linalg.det(batch.cell).abs()
        return Evaluation(total, -gradient.numpy(), (virial / volume[:, None, None]).numpy())

    def embeddings(self, batch: Batch) -> np.ndarray:
        """Mean, then standard deviation over the atoms, of what the network knows of each atom (S, 128)."""
        import torch

        from matgen.stability.chgnet_network import build_graph

        with torch.no_grad():
            nothing = torch.zeros_like(batch.frac), torch.zeros_like(batch.cell)
            atoms = self.network.atoms(build_graph(batch, *nothing, self.cutoff, self.network.angle_cutoff))
        each = np.split(atoms.double().numpy(), batch.ptr.numpy()[1:-1])
        return np.stack([np.concatenate([system.mean(axis=0), system.std(axis=0)]) for system in each])

    def calculator(self) -> Calculator:
        """The chgnet package's own calculator."""
        from chgnet.model.dynamics import CHGNetCalculator

        with contextlib.redirect_stdout(io.StringIO()):
            return CHGNetCalculator(model=_model(self.version), use_device="cpu", on_isolated_atoms="ignore")


def _model(version: str) -> Model:
    import torch
    from chgnet.model import CHGNet as Model

    folder = resources.files("chgnet") / "pretrained" / version
    files = [file for file in folder.iterdir() if file.name.endswith(".pth.tar")] if folder.is_dir() else []
    if len(files) != 1:
        raise MissingPackageError(
            f"the installed chgnet package holds no weights of version {version}.",
            fix="Install it again: chgnet>=0.4.2",
        )
    with resources.as_file(files[0]) as path:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    with contextlib.redirect_stdout(io.StringIO()):  # the package announces itself on stdout
        model = Model(**state["model_args"], version=version)
    model.load_state_dict(state["state_dict"])
    return model
