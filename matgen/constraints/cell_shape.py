"""The shape of the cell: angles, ratio of edges, height.

Shapes: S systems.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from matgen.constraints.base import CONSTRAINTS, Constraint, Verdict
from matgen.errors import ConfigError
from matgen.features.distances import reduction
from matgen.features.occupation import niggli_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pymatgen.core import Structure
    from torch_geometric.data import Batch

_TINY = 1e-12


@dataclass(frozen=True)
class _Shape:
    """Measures of S cells.

    Args:
        whole: (S,) whether the vectors span a volume; the rest means nothing where they do not.
        angles: (S, 3) between b and c, a and c, a and b, in degrees.
        ratio: (S,) of the longest to the shortest edge.
        height: (S,) smallest distance between opposite faces, Å.
    """

    whole: torch.Tensor
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

        cells = np.array([s.lattice.matrix for s in structures], dtype=float).reshape(-1, 3, 3)
        shape = self._shape(torch.from_numpy(cells))
        values = torch.stack([shape.height, shape.ratio, shape.angles.amin(-1), shape.angles.amax(-1)], dim=-1)
        rows = zip(shape.whole.tolist(), values.tolist(), self._excess(shape).tolist(), strict=True)
        found = [self._judge(*row) for row in rows]
        return Verdict.of([score for score, _ in found], [reason for _, reason in found])

    def penalty(self, batch: Batch) -> torch.Tensor:
        """(S,) sum of relative excesses, without unit; 1 where the cell is degenerate or not finite."""
        import torch

        shape = self._shape(batch.cell)
        return torch.where(shape.whole, self._excess(shape).sum(-1), 1.0)

    def _judge(self, whole: bool, values: list[float], excess: list[float]) -> tuple[float, str | None]:
        """Score and reason from height, ratio, smallest and largest angle, and the excess of each."""
        if not whole:
            return 0.0, "the cell is degenerate: its vectors do not span a volume"
        height, ratio, smallest, largest = values
        words = (
            f"the cell is {height:.2f} Å high, less than the allowed {self.min_height:g} Å",
            f"its longest edge is {ratio:.1f} times the shortest, more than the allowed {self.max_ratio:g} times",
            f"its angle of {smallest:.1f}° is below the smallest allowed {self.min_angle:g}°",
            f"its angle of {largest:.1f}° is above the largest allowed {self.max_angle:g}°",
        )
        return height, "; ".join(word for word, x in zip(words, excess, strict=True) if x > 0) or None

    def _excess(self, shape: _Shape) -> torch.Tensor:
        """(S, 4) relative excess over each limit: height, ratio, smallest and largest angle."""
        import torch

        return torch.stack(
            [
                1 - shape.height / self.min_height,
                shape.ratio / self.max_ratio - 1,
                1 - shape.angles.amin(-1) / self.min_angle,
                shape.angles.amax(-1) / self.max_angle - 1,
            ],
            dim=-1,
        ).clamp_min(0)

    def _shape(self, cells: torch.Tensor) -> _Shape:
        """Measures of cells (S, 3, 3); a cube stands in for those that are degenerate or not finite."""
        import torch

        plain = cells.detach().cpu().double().numpy()
        whole = np.array([reduction(cell) is not None for cell in plain], dtype=bool)
        usable = torch.as_tensor(whole, device=cells.device)
        cells = torch.where(usable[:, None, None], cells, torch.eye(3).to(cells))
        if self.reduced:
            change = [niggli_change(cell) if ok else np.eye(3) for cell, ok in zip(plain, whole, strict=True)]
            cells = torch.as_tensor(np.array(change).reshape(-1, 3, 3)).to(cells) @ cells
        first, second = cells[:, [1, 0, 0]], cells[:, [2, 2, 1]]
        area = torch.linalg.cross(first, second).square().sum(-1).clamp_min(_TINY).sqrt()
        edges = cells.square().sum(-1).clamp_min(_TINY).sqrt()
        return _Shape(
            whole=usable,
            angles=torch.rad2deg(torch.atan2(area, (first * second).sum(-1))),
            ratio=edges.amax(-1) / edges.amin(-1),
            height=torch.linalg.det(cells).abs() / area.amax(-1),
        )
