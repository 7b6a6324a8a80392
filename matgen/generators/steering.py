"""What acts on coordinates and cell between predicting and stepping: guidance by penalties, projection, what is fixed.

Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.constraints.symmetry import SymmetryWish
from matgen.generators.dense import Crystals
from matgen.generators.guidance import Guidance, batch_of, due
from matgen.generators.paths import shortest
from matgen.nn.cell import log_stretch, stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from matgen.constraints.base import Constraint
    from matgen.features.occupation import Subspace
    from matgen.generators.drawing import Draws
    from matgen.generators.periodic import PeriodicGenerator


@dataclass(frozen=True)
class SymmetryField:
    """Projections on the subspaces of S samples; those without one are left as they are.

    Args:
        symmetric: (S,) which samples have a subspace.
        origin: (S, A, 3) a point of each.
        averaging: (S, 3A, 3A) of displacements.
        tie: (S, A, A) mean over the atoms that are to have the same element.
        reference: (S, 3, 3) cells, Å.
        strain: (S, 9, 9) of the logarithm of the metric relative to the reference.
    """

    symmetric: Tensor
    origin: Tensor
    averaging: Tensor
    tie: Tensor
    reference: Tensor
    strain: Tensor

    @classmethod
    def of(cls, subspaces: Sequence[Subspace | None], widest: int) -> SymmetryField | None:
        """The projections, None where no sample has a subspace."""
        if not any(subspaces):
            return None
        s = len(subspaces)
        origin, averaging = np.zeros((s, widest, 3)), np.tile(np.eye(3 * widest), (s, 1, 1))
        tie, reference = np.tile(np.eye(widest), (s, 1, 1)), np.tile(np.eye(3), (s, 1, 1))
        strain = np.tile(np.eye(9), (s, 1, 1))
        for i, space in enumerate(subspaces):
            if space is None:
                continue
            a, kinds = len(space.origin), space.occupation.kinds
            alike = kinds[:, None] == kinds
            origin[i, :a], averaging[i, : 3 * a, : 3 * a] = space.origin, space.averaging
            tie[i, :a, :a] = alike / alike.sum(1, keepdims=True)
            reference[i], strain[i] = space.cell, space.strain_averaging
        symmetric = torch.tensor([space is not None for space in subspaces])
        return cls(symmetric, *(torch.from_numpy(x) for x in (origin, averaging, tie, reference, strain)))

    def displacement(self, moved: Tensor) -> Tensor:
        """(S, A, 3) The share of displacements that keeps the symmetry."""
        kept = self.averaging.to(moved) @ moved.flatten(1)[..., None]
        return kept.view_as(moved)

    def place(self, frac: Tensor) -> Tensor:
        """(S, A, 3) The nearest coordinates in the subspaces, without wrapping."""
        origin = self.origin.to(frac)
        placed = origin + self.displacement(frac - origin)
        return torch.where(self.symmetric[:, None, None], placed, frac)

    def shape(self, cell: Tensor) -> Tensor:
        """(S, 6) The nearest logarithms of a stretch; see :meth:`matgen.features.occupation.Subspace.project_cell`."""
        basis, inverse = stretch(cell.double()), torch.linalg.inv(self.reference)
        values, vectors = torch.linalg.eigh(inverse @ basis @ basis.mT @ inverse.mT)
        log = vectors @ torch.diag_embed(values.clamp_min(1e-12).log()) @ vectors.mT
        mean = (self.strain @ log.flatten(1)[..., None]).view_as(log)
        projected = log_stretch(self.reference @ torch.linalg.matrix_exp((mean + mean.mT) / 4)).to(cell)
        return torch.where(self.symmetric[:, None], projected, cell)


@dataclass(frozen=True)
class Pins:
    """Atoms and cells that are given, and the noise from which each of them comes to its place.

    Args:
        atoms: (S, A) which atoms are fixed.
        frac: (S, A, 3) where.
        cells: (S,) which cells are fixed.
        cell: (S, 6) how, standardised.
        start: (S, A, 3) and (S, 6), coordinates and standardised cells at time 0.
    """

    atoms: Tensor
    frac: Tensor
    cells: Tensor
    cell: Tensor
    start: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, model: PeriodicGenerator, draws: Sequence[Draws], x: Crystals) -> Pins | None:
        """What the requests fix, None where nothing is."""
        asked = [d.request.fixed for d in draws]
        if not any(asked):
            return None
        atoms, frac = torch.zeros_like(x.real), torch.zeros_like(x.frac)
        cells = torch.tensor([fixed is not None and fixed.cell is not None for fixed in asked])
        basis = torch.eye(3, dtype=torch.float64).repeat(len(draws), 1, 1)
        for i, fixed in enumerate(asked):
            if fixed is not None and fixed.numbers:
                atoms[i, : len(fixed.numbers)] = True
                frac[i, : len(fixed.numbers)] = torch.tensor(fixed.frac)
            if fixed is not None and fixed.cell is not None:
                basis[i] = torch.tensor(fixed.cell, dtype=torch.float64)
        cell = model.standardise(log_stretch(basis).to(x.cell), x.real.sum(1))
        return cls(atoms, frac, cells, cell, (x.frac, x.cell))

    def aligned(self, frac: Tensor, velocity: Tensor, now: float) -> Tensor:
        """(S, A, 3) The velocity with a common drift by which the predicted fixed atoms are on average in place.

        A network does not know where the origin of a crystal lies; the fixed atoms tell it.
        """
        gap = shortest(self.frac - frac - (1 - now) * velocity) * self.atoms[..., None]
        drift = gap.sum(1, keepdim=True) / self.atoms.sum(1).clamp_min(1)[:, None, None]
        return velocity + drift / (1 - now)

    def placed(self, frac: Tensor, cell: Tensor, then: float) -> tuple[Tensor, Tensor]:
        """Coordinates and cells at a time, the fixed ones on the straight way from their noise to their place."""
        start, shape = (x.to(frac) for x in self.start)
        way = start + then * shortest(self.frac.to(frac) - start)
        frac = torch.where(self.atoms[..., None], way, frac)
        return frac, torch.where(self.cells[:, None], (1 - then) * shape + then * self.cell.to(cell), cell)


@dataclass(frozen=True)
class Steering:
    """Constraints, symmetry and fixed parts of S samples, as they act in every step of a sampler.

    Args:
        model: Knows the scale of the cell and which elements there are.
        real: (S, A), False on padding.
        guidance: By penalties.
        field: Symmetry, where asked for.
        pins: Atoms and cells that are given.
        projections: Constraints that project.
    """

    model: PeriodicGenerator
    real: Tensor
    guidance: Guidance
    field: SymmetryField | None
    pins: Pins | None = None
    projections: Sequence[Constraint] = ()

    @classmethod
    def of(
        cls,
        model: PeriodicGenerator,
        draws: Sequence[Draws],
        x: Crystals,
        constraints: Sequence[Constraint],
        strength: float,
    ) -> Steering:
        """What acts on these samples.

        Args:
            model: The generator.
            draws: The samples.
            x: Their noise.
            constraints: Those that act as a penalty guide, those that project do so after every step; of wishes for
                symmetry the subspaces of the draws know.
            strength: Of the guidance.
        """
        field = SymmetryField.of([d.subspace for d in draws], x.real.shape[1])
        guidance = Guidance.of(model, constraints, strength)
        projections = [c for c in constraints if c.acts_as("project") and not isinstance(c, SymmetryWish)]
        return cls(model, x.real, guidance, field, Pins.of(model, draws, x), projections)

    def begin(self, x: Crystals) -> Crystals:
        """The noise that samples start from, within what is asked."""
        if self.field is None:
            return x
        frac = torch.where(self.field.symmetric[:, None, None], self.field.origin.to(x.frac), x.frac)
        return Crystals(x.numbers, frac, self._shape(x.cell), x.real)

    def aligned(self, frac: Tensor, velocity: Tensor, now: float) -> Tensor:
        """(S, A, 3) The predicted velocity of the coordinates, moving with the fixed atoms where there are any."""
        return velocity if self.pins is None else self.pins.aligned(frac, velocity, now)

    def tied(self, logits: Tensor) -> Tensor:
        """(S, A, 119) Element logits, for each atom the mean of those that are to have its element."""
        return logits if self.field is None else self.field.tie.to(logits) @ logits

    def correction(
        self, ends: tuple[Tensor, Tensor], numbers: Tensor, logits: Tensor, now: float, then: float
    ) -> tuple[Tensor, Tensor] | None:
        """What guidance adds to coordinates and cell in a step.

        The predicted crystal moves down the penalties; the step takes its share of that, see
        :func:`matgen.generators.guidance.due`.

        Args:
            ends: Predicted coordinates (S, A, 3) and standardised cells (S, 6) at time 1.
            numbers: (S, A), 0 where undetermined; the most likely element stands in.
            logits: (S, A, 119).
            now: Time before the step.
            then: Time after it.
        """
        share = due(now, then)
        if not self.guidance.constraints or not share:
            return None
        likely = logits.masked_fill(self.model.elements == 0, -torch.inf).argmax(-1)
        kinds = torch.where(numbers > 0, numbers, likely) * self.real
        moved, changed = self.guidance.displacement(kinds, *ends, self.real)
        return share * moved, share * changed

    def keep(self, before: Tensor, after: Tensor, cell: Tensor, then: float = 1.0) -> tuple[Tensor, Tensor]:
        """Coordinates and standardised cell of a step, projected, with fixed ones where they are at that time.

        Args:
            before: (S, A, 3) coordinates before the step, within what is asked.
            after: (S, A, 3) after it, not wrapped.
            cell: (S, 6) after it.
            then: Time after it.
        """
        if self.field is not None:
            after, cell = before + self.field.displacement(after - before), self._shape(cell)
        if self.projections:
            sizes = self.real.sum(1)
            after, shape = self._projected(after, self.model.restore(cell, sizes))
            cell = self.model.standardise(shape, sizes)
        return (after, cell) if self.pins is None else self.pins.placed(after, cell, then)

    def finish(self, numbers: Tensor, frac: Tensor, cell: Tensor) -> Crystals:
        """The finished crystals: settled under the penalties, and projected in double precision."""
        frac, cell = frac.double(), cell.double()
        left = torch.arange(len(cell))
        for settled in range(self.guidance.settling):
            some = self.guidance.displacement(numbers[left], frac[left], cell[left], self.real[left], settled)
            moved, changed = torch.zeros_like(frac), torch.zeros_like(cell)
            moved[left], changed[left] = some
            left = torch.nonzero(moved.flatten(1).any(1) | changed.any(1)).ravel()
            if not len(left):
                break
            frac, cell = self.keep(frac, frac + moved, cell + changed)
        restored = self.model.restore(cell, self.real.sum(1))
        if self.field is not None:
            frac, restored = self.field.place(frac), self.field.shape(restored)
        if self.projections:
            frac, restored = self._projected(frac, restored)
        return Crystals(numbers, frac, restored, self.real)

    def _projected(self, frac: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates and stretches (S, 6) after the constraints that project; they do not see elements."""
        batch = batch_of(self.real.long(), frac.double(), stretch(cell.double()), self.real)
        for constraint in self.projections:
            batch = constraint.project(batch)
        moved = frac.clone()
        # Lattice vectors do not count, so that coordinates that stay keep their place in the symmetry.
        moved[self.real] = frac[self.real] + shortest(batch.frac.to(frac) - frac[self.real])
        return moved, log_stretch(batch.cell.double()).to(cell)

    def _shape(self, cell: Tensor) -> Tensor:
        field, sizes = self.field, self.real.sum(1)
        if field is None:
            return cell
        projected = self.model.standardise(field.shape(self.model.restore(cell, sizes)), sizes)
        return torch.where(field.symmetric[:, None], projected, cell)
