"""The shape of the cell: angles, ratio of edges, height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

_TINY = 1e-12


@dataclass(frozen=True)
class _Shape:
    """Measures of one cell.

    Args:
        angles: (3,) between b and c, a and c, a and b, in degrees.
        ratio: Of the longest to the shortest edge.
        height: Smallest distance between opposite faces, Å.
    """

    angles: torch.Tensor
    ratio: torch.Tensor
    height: torch.Tensor


@CONSTRAINTS.register("cell_shape")
@dataclass(frozen=True)
class CellShape(Constraint):
    """The cell is neither a needle, nor a sheet, nor skewed beyond limits.

    Limits hold for the angles between edges, for the ratio of the longest to the shortest edge, and for the height h =
    V / A, the volume over the area of the largest face: atoms and their images are no closer than that in one
    direction. By default they are measured in the Niggli-reduced cell, which does not depend on how the crystal is
    written down (Křivý and Gruber, Acta Cryst. A 32, 297, 1976) and whose angles lie between 60 and 120 degrees.

    The score is the height in Å. The penalty is the sum of the relative excesses over the limits, without unit.

    Args:
        min_height: Smallest allowed height, Å.
        max_ratio: Largest allowed ratio of edges.
        min_angle: Smallest allowed angle, degrees.
        max_angle: Largest allowed angle, degrees.
        reduced: Whether the Niggli-reduced cell is measured, or the one that is given.
    """

    name: ClassVar[str] = "cell_shape"

    min_height: float = 1.5
    max_ratio: float = 15.0
    min_angle: float = 20.0
    max_angle: float = 160.0
    reduced: bool = True

    def __post_init__(self) -> None:
        if not (self.min_height > 0 and self.max_ratio >= 1 and 0 < self.min_angle < self.max_angle < 180):
            raise ConfigError(
                f"min_height={self.min_height}, max_ratio={self.max_ratio}, angles {self.min_angle} to "
                f"{self.max_angle}.",
                where=self.name,
                fix="Give min_height > 0, max_ratio >= 1 and 0 < min_angle < max_angle < 180.",
            )

    def check(self, structures: Sequence[Structure]) -> Verdict:
        """Pass where all limits are kept."""
        import torch

        found = [self._judge(torch.tensor(s.lattice.matrix, dtype=torch.float64)) for s in structures]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) sum of relative excesses, without unit."""
        import torch

        shapes = [self._shape(cell) for cell in batch.cell]
        return torch.stack(
            [batch.cell.new_ones(()) if shape is None else self._excess(shape).sum() for shape in shapes]
        )

    def _judge(self, cell: torch.Tensor) -> tuple[float, str | None]:
        shape = self._shape(cell)
        if shape is None:
            return 0.0, "the cell is degenerate: its vectors do not span a volume"
        words = (
            f"the cell is {float(shape.height):.2f} Å high, less than the allowed {self.min_height:g} Å",
            f"its longest edge is {float(shape.ratio):.1f} times the shortest, more than the allowed "
            f"{self.max_ratio:g} times",
            f"its angle of {float(shape.angles.min()):.1f}° is below the smallest allowed {self.min_angle:g}°",
            f"its angle of {float(shape.angles.max()):.1f}° is above the largest allowed {self.max_angle:g}°",
        )
        broken = [word for word, excess in zip(words, self._excess(shape).tolist(), strict=True) if excess > 0]
        return float(shape.height), "; ".join(broken) or None

    def _excess(self, shape: _Shape) -> torch.Tensor:
        """(4,) relative excess over each limit: height, ratio, smallest and largest angle."""
        import torch

        return torch.stack(
            [
                1 - shape.height / self.min_height,
                shape.ratio / self.max_ratio - 1,
                1 - shape.angles.min() / self.min_angle,
                shape.angles.max() / self.max_angle - 1,
            ]
        ).clamp_min(0)

    def _shape(self, cell: torch.Tensor) -> _Shape | None:
        """Measures of a cell (3, 3); None where it is degenerate or not finite."""
        import torch

        from matgen.features.distances import reduction
        from matgen.features.occupation import niggli_change

        plain = cell.detach().cpu().double().numpy()
        if reduction(plain) is None:
            return None
        if self.reduced:
            cell = torch.as_tensor(niggli_change(plain)).to(cell) @ cell
        first, second = cell[[1, 0, 0]], cell[[2, 2, 1]]
        area = torch.linalg.cross(first, second).square().sum(-1).clamp_min(_TINY).sqrt()
        edges = cell.square().sum(-1).clamp_min(_TINY).sqrt()
        return _Shape(
            angles=torch.rad2deg(torch.atan2(area, (first * second).sum(-1))),
            ratio=edges.max() / edges.min(),
            height=torch.linalg.det(cell).abs() / area.max(),
        )
