"""Molecules as the flow sees them: a cluster around the middle of a box, with no images and no cell to learn.

The box is so wide that no difference of two positions is half of it, where the torus and plain space agree: what is
written for crystals in fractional coordinates then holds for molecules unchanged. Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from matgen.data.batches import BOX
from matgen.data.structures import molecule, to_data

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data

NOISE = 1.6
"""Å; standard deviation of each coordinate at time 0, about that of the atoms of small organic molecules."""

UNIT = 0.25
"""Velocities of molecules in units of so many box edges vary as much as those of crystals in cell edges."""


def unboxed(numbers: np.ndarray, frac: np.ndarray) -> Data:
    """The molecule of atomic numbers (A,) and coordinates (A, 3) in the box."""
    return to_data(molecule([int(z) for z in numbers], (np.asarray(frac, dtype=float) - 0.5) * BOX))


def box_noise(normal: Tensor, real: Tensor) -> Tensor:
    """Gaussian coordinates (S, A, 3) whose mean is the middle of the box, from standard normal ones."""
    weight = real[..., None].to(normal.dtype)
    mean = (normal * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    return (normal - mean) * weight * (NOISE / BOX) + 0.5


def random_rotations(n: int, rng: torch.Generator) -> Tensor:
    """(n, 3, 3) rotations, uniformly distributed: unit quaternions of Gaussian numbers (Shoemake, 1992)."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(n, 4, generator=rng), dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def turned(frac: Tensor, rotation: Tensor) -> Tensor:
    """Coordinates (S, A, 3) turned around the middle of the box."""
    return (frac - 0.5) @ rotation.mT + 0.5


def aligned(noise: Tensor, data: Tensor, real: Tensor) -> Tensor:
    """Noise (S, A, 3) turned onto the data, which shortens the paths (Kabsch, Acta Cryst. A 32, 922, 1976).

    Its distribution has no preferred direction, so it stays the same (equivariant flow matching, Song et al.,
    arXiv:2312.07168).
    """
    weight = real[..., None].to(noise.dtype)
    a, b = (noise - 0.5) * weight, (data - 0.5) * weight
    u, _, vt = torch.linalg.svd(a.mT @ b)
    sign = torch.linalg.det(u @ vt).sign()
    flip = torch.diag_embed(torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1))
    return turned(noise, (u @ flip @ vt).mT)
