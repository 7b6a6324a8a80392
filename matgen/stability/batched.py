"""Relaxation of many systems at once: each has its own minimiser, and one evaluation serves all that are under way.

A system that is done leaves and the next one joins, so batches stay full. Shapes: A atoms, S systems.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch_geometric.data import Batch

from matgen.data.structures import wrap
from matgen.stability.descent import Descent, DescentSettings, largest_force
from matgen.stability.symmetry import KeptSymmetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from matgen.stability.potential import Potential

Status = Literal["ok", "unconverged", "exploded", "nan", "oom", "timeout", "rejected", "error"]

GPA = 160.21766208
"""One eV/Å³ in GPa."""

_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "failed to allocate",
    "can't allocate",
    "cannot allocate",
    "bad_alloc",
)


@dataclass(frozen=True)
class RelaxSettings:
    """When a relaxation ends.

    Args:
        fmax: Largest force (and V σ / A) of a converged system, eV/Å.
        max_steps: Steps after which a system counts as unconverged.
        cell: Whether the cell relaxes too.
        symmetry: Whether the space group is kept.
        seconds: Time that one system may use, s.
        min_volume_ratio: Below this share of its first volume a system counts as exploded (collapsed).
        max_volume_ratio: Above it likewise.
        batch_atoms: Atoms evaluated at once; more than some hundred gain nothing on a CPU.
        trajectory: Whether every place on the way is kept.
    """

    fmax: float = 0.05
    max_steps: int = 300
    cell: bool = True
    symmetry: bool = False
    seconds: float = 120.0
    min_volume_ratio: float = 0.3
    max_volume_ratio: float = 3.0
    batch_atoms: int = 128
    trajectory: bool = False


@dataclass(frozen=True)
class Frame:
    """One place on the way of a relaxation, as plain numbers that can travel.

    Args:
        frac: (3 A,) fractional coordinates.
        cell: (9,) Å.
        energy: eV/atom.
        fmax: Largest force (and V σ / A), eV/Å.
    """

    frac: list[float]
    cell: list[float]
    energy: float
    fmax: float


@dataclass
class Relaxed:
    """How the relaxation of one system of A atoms ended.

    Args:
        status: ``ok`` and ``unconverged`` have all numbers; the others have those known until then.
        reason: Why, unless ``ok``.
        frac: (A, 3) fractional coordinates in [0, 1).
        cell: (3, 3) Å.
        energy: eV/atom.
        steps: Steps taken.
        fmax: Largest force (and V σ / A) at the end, eV/Å.
        pressure: Minus a third of the trace of the stress, GPa.
        frames: The way here, first place first, if it was asked for.
    """

    status: Status
    reason: str | None
    frac: np.ndarray
    cell: np.ndarray
    energy: float = float("nan")
    steps: int = 0
    fmax: float = float("nan")
    pressure: float = float("nan")
    frames: list[Frame] = field(default_factory=list)


def relax_together(
    structures: Sequence[Structure], potential: Potential, settings: RelaxSettings | None = None
) -> list[Relaxed]:
    """Relax structures that passed the gate.

    Args:
        structures: S ordered structures.
        potential: Where energies, forces and stresses come from.
        settings: When to stop.

    Returns:
        S results, in order. Nothing is raised for a structure that fails.
    """
    settings = settings or RelaxSettings()
    systems = [_System.of(structure, settings) for structure in structures]
    waiting, active = deque(systems), list[_System]()
    while waiting or active:
        while waiting and _fits(active, waiting[0], settings.batch_atoms):
            active.append(waiting.popleft())
        _evaluate(active, potential)
        active = [system for system in active if system.go_on()]
    return [system.result() for system in systems]


def _fits(active: list[_System], candidate: _System, limit: int) -> bool:
    return not active or sum(map(len, active)) + len(candidate) <= limit


@dataclass(eq=False)
class _System:
    numbers: np.ndarray
    descent: Descent
    settings: RelaxSettings
    symmetry: KeptSymmetry | None
    end: tuple[Status, str | None] | None = None
    energy: float = float("nan")
    forces: np.ndarray = field(default_factory=lambda: np.full((1, 3), np.nan))
    stress: np.ndarray = field(default_factory=lambda: np.full((3, 3), np.nan))
    seconds: float = 0.0
    frames: list[Frame] = field(default_factory=list)

    @classmethod
    def of(cls, structure: Structure, settings: RelaxSettings) -> _System:
        symmetry = KeptSymmetry(structure) if settings.symmetry else None
        start = symmetry.structure if symmetry else structure
        descent = Descent(start.frac_coords, start.lattice.matrix, DescentSettings(cell=settings.cell))
        return cls(np.array(start.atomic_numbers), descent, settings, symmetry)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def largest_force(self) -> float:
        volume = abs(np.linalg.det(self.descent.cell))
        return largest_force(self.forces, self.stress, volume, cell=self.settings.cell)

    def see(self, energy: float, forces: np.ndarray, stress: np.ndarray, seconds: float) -> None:
        """Take in an evaluation at the present place."""
        self.energy, self.seconds = energy / len(self), self.seconds + seconds
        cell = self.descent.cell
        self.forces = self.symmetry.forces(forces, cell) if self.symmetry else forces
        self.stress = self.symmetry.stress(stress, cell) if self.symmetry else stress
        if self.settings.trajectory and np.isfinite(self.energy):
            place = wrap(self.descent.frac).ravel().tolist(), cell.ravel().tolist()
            self.frames.append(Frame(*place, float(self.energy), self.largest_force))

    def go_on(self) -> bool:
        """Decide whether this system is done, and if not, take a step."""
        self.end = self.end or self._verdict()
        if self.end is None:
            self.descent.advance(self.forces, self.stress)
            self.end = self._explosion()
        return self.end is None

    def result(self) -> Relaxed:
        status, reason = self.end or ("error", "the relaxation ended without a verdict")
        pressure = -float(np.trace(self.stress)) / 3 * GPA
        place = wrap(self.descent.frac), self.descent.cell
        return Relaxed(
            status, reason, *place, self.energy, self.descent.steps, self.largest_force, pressure, self.frames
        )

    def _verdict(self) -> tuple[Status, str | None] | None:
        settings, force = self.settings, self.largest_force
        if not np.isfinite(self.energy) or not np.isfinite(force):
            return "nan", f"energy or forces are not finite after {self.descent.steps} steps"
        if force < settings.fmax:
            return "ok", None
        if self.descent.steps >= settings.max_steps:
            return "unconverged", f"largest force {force:.2g} eV/Å after {self.descent.steps} steps"
        if self.seconds > settings.seconds:
            return (
                "timeout",
                f"largest force {force:.2g} eV/Å after {self.seconds:.0f} s and {self.descent.steps} steps",
            )
        return None

    def _explosion(self) -> tuple[Status, str | None] | None:
        ratio = float(np.linalg.det(self.descent.deformation))
        if self.settings.min_volume_ratio <= ratio <= self.settings.max_volume_ratio:
            return None
        return "exploded", f"the volume changed to {ratio:.2g} of the input's after {self.descent.steps} steps"


def _evaluate(systems: list[_System], potential: Potential) -> None:
    """Show each system its energy, forces and stress, or end those for which there are none.

    A batch that does not fit into memory, or that fails in any other way, is halved until the culprit stands alone.
    """
    start = time.perf_counter()
    try:
        answer = potential.evaluate(batch_of([(s.numbers, s.descent.frac, s.descent.cell) for s in systems]))
    except Exception as error:  # foreign potentials raise anything; it becomes a row with a reason
        if len(systems) > 1:
            half = len(systems) // 2
            _evaluate(systems[:half], potential)
            _evaluate(systems[half:], potential)
        else:
            systems[0].end = _failure(error)
        return
    if answer.forces is None or answer.stress is None:
        raise TypeError(f"{type(potential).__name__} gave no forces or stresses.")
    per_atom = (time.perf_counter() - start) / sum(map(len, systems))
    ends = np.cumsum([len(s) for s in systems])
    for k, (system, end) in enumerate(zip(systems, ends, strict=True)):
        forces = answer.forces[end - len(system) : end]
        system.see(float(answer.energy[k]), forces, answer.stress[k], per_atom * len(system))


def _failure(error: Exception) -> tuple[Status, str]:
    text = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _NO_MEMORY):
        return "oom", "the structure alone does not fit into memory"
    return "error", f"{type(error).__name__}: {text}"


def batch_of(systems: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    """A torch-geometric batch of S systems, each given as numbers (A,), frac (A, 3) and cell (3, 3) in Å."""
    sizes = [len(numbers) for numbers, _, _ in systems]
    ends = np.cumsum([0, *sizes])
    return Batch(
        numbers=torch.from_numpy(np.concatenate([numbers for numbers, _, _ in systems])),
        frac=torch.from_numpy(np.concatenate([frac for _, frac, _ in systems])),
        cell=torch.from_numpy(np.stack([cell for _, _, cell in systems])),
        batch=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
        ptr=torch.from_numpy(ends),
        num_nodes=int(ends[-1]),
    )
