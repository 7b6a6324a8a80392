"""The plain way: ASE's optimizer and cell filter, one structure after the other. The yardstick of the fast one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from matgen.data.structures import to_atoms, wrap
from matgen.stability.batched import GPA, Frame, Relaxed, RelaxSettings
from matgen.stability.descent import largest_force

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.stability.potential import Potential

OPTIMIZERS = ("FIRE", "FIRE2", "BFGS", "LBFGS")


def relax_one_by_one(
    structures: Sequence[Structure],
    potential: Potential,
    settings: RelaxSettings | None = None,
    optimizer: str = "FIRE",
) -> list[Relaxed]:
    """Relax with ASE's ``FIRE`` (or another optimizer of it) under a FrechetCellFilter.

    Args:
        structures: S ordered structures that passed the gate.
        potential: Where the ASE calculator comes from.
        settings: When to stop; symmetry, volume limits and batches do not apply here.
        optimizer: One of :data:`OPTIMIZERS`.
    """
    settings = settings or RelaxSettings()
    calculator = potential.calculator()
    return [_relax(structure, calculator, settings, optimizer) for structure in structures]


def _relax(structure: Structure, calculator: Any, settings: RelaxSettings, optimizer: str) -> Relaxed:
    import ase.optimize
    from ase.filters import FrechetCellFilter

    atoms = to_atoms(structure)
    atoms.calc = calculator
    target = FrechetCellFilter(atoms) if settings.cell else atoms
    start = time.perf_counter()
    frames: list[Frame] = []
    with getattr(ase.optimize, optimizer)(target, logfile=None) as run:
        for _ in run.irun(fmax=settings.fmax, steps=settings.max_steps):
            if settings.trajectory:
                frames.append(_frame(atoms, settings))
            if time.perf_counter() - start > settings.seconds:
                break
        steps = int(run.nsteps)
    stress, force = atoms.get_stress(voigt=False), _force(atoms, settings)
    status = "ok" if force < settings.fmax else "unconverged"
    reason = None if status == "ok" else f"largest force {force:.2g} eV/Å after {steps} steps"
    frac, cell = wrap(atoms.get_scaled_positions()), np.array(atoms.cell)
    energy, pressure = float(atoms.get_potential_energy()) / len(atoms), -float(np.trace(stress)) / 3 * GPA
    return Relaxed(status, reason, frac, cell, energy, steps, force, pressure, frames)  # type: ignore[arg-type]


def _force(atoms: Any, settings: RelaxSettings) -> float:
    return largest_force(atoms.get_forces(), atoms.get_stress(voigt=False), atoms.get_volume(), cell=settings.cell)


def _frame(atoms: Any, settings: RelaxSettings) -> Frame:
    place = wrap(atoms.get_scaled_positions()).ravel().tolist(), np.array(atoms.cell).ravel().tolist()
    return Frame(*place, float(atoms.get_potential_energy()) / len(atoms), _force(atoms, settings))
