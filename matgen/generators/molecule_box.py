"""Molecules as the flow sees them: a cluster around the middle of a box, with no images and no cell to learn.

The box is so wide that no difference of two positions is half of it, where the torus and plain space agree: what is
written for crystals in fractional coordinates then holds for molecules unchanged. Shapes: S systems, A atoms (padded).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase.data import covalent_radii

from matgen.data.batches import BOX
from matgen.data.structures import molecule, to_data
from matgen.nn.transformer import FARTHEST
from matgen.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data

    from matgen.generators.dense import Crystals

NOISE = 1.6
"""Å; standard deviation of each coordinate at time 0, about that of the atoms of small organic molecules."""

UNIT = 0.25
"""Velocities of molecules in units of so many box edges vary as much as those of crystals in cell edges."""

BONDS_GIVEN = 0.75
"""Share of the molecules in a batch whose bonds the network is told."""

STRETCH = 1.3
"""Atoms closer than so many sums of their covalent radii (Cordero et al., Dalton Trans. 2832, 2008) are bonded."""


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


def bonds_between(numbers: Tensor, frac: Tensor, real: Tensor) -> Tensor:
    """(S, A, A) which atoms of molecules in their boxes are bonded, by distance, from (S, A), (S, A, 3) and (S, A)."""
    radii = torch.from_numpy(covalent_radii).to(frac)[numbers]
    near = torch.cdist(frac, frac) * BOX < STRETCH * (radii[:, :, None] + radii[:, None])
    return near & real[:, :, None] & real[:, None] & ~torch.eye(near.shape[1], dtype=torch.bool, device=near.device)


def bonds_apart(bonded: Tensor) -> Tensor:
    """(S, A, A) how many bonds lie between two atoms, at most :data:`.FARTHEST`; 0 of an atom with itself."""
    step = bonded.float()
    apart = torch.full_like(bonded, FARTHEST, dtype=torch.long)
    reached = step
    for bonds in range(1, FARTHEST):
        apart = torch.where((reached > 0) & (apart == FARTHEST), bonds, apart)
        reached = reached @ step
    return apart.masked_fill(torch.eye(bonded.shape[1], dtype=torch.bool, device=bonded.device), 0)


def turned_and_told(x1: Crystals, isolated: Tensor, rng: torch.Generator) -> tuple[Crystals, Tensor]:
    """Molecules turned at random, and (S, A, A) the bonds between the atoms of those whose bonds are told, else 0."""
    with full_precision(x1.frac.device):
        whole = turned(x1.frac, random_rotations(len(isolated), rng))
        x1 = replace(x1, frac=torch.where(isolated[:, None, None], whole, x1.frac))
        told = isolated & (torch.rand(len(isolated), generator=rng) < BONDS_GIVEN)
        apart = bonds_apart(bonds_between(x1.numbers, x1.frac, x1.real))
    inside = x1.real[:, :, None] & x1.real[:, None] & told[:, None, None]
    return x1, apart * inside
