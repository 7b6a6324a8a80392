"""Noise paths from t = 0 (noise) to t = 1 (data), one for each kind of field; written once for flow and diffusion.

Shapes: S systems, A atoms (padded), D any trailing size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from torch import Tensor


def shortest(difference: Tensor) -> Tensor:
    """Logarithm map of the torus: the difference of fractional coordinates wrapped to [-1/2, 1/2]."""
    return difference - difference.round()


def torus(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Geodesic on the torus and its velocity (Chen & Lipman, arXiv:2302.03660).

    u = log_{x0}(x1), x_t = x0 + t u (mod 1).

    Args:
        noise: x0 (S, A, 3) fractional.
        data: x1 (S, A, 3) fractional.
        t: (S,).

    Returns:
        x_t and u, both (S, A, 3).
    """
    velocity = shortest(data - noise)
    return (noise + t[:, None, None] * velocity) % 1.0, velocity


def straight(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Straight line and its velocity (Lipman et al., arXiv:2210.02747): x_t = (1 - t) x0 + t x1, u = x1 - x0.

    Args:
        noise: x0 (S, D), standard normal.
        data: x1 (S, D).
        t: (S,).

    Returns:
        x_t and u, both (S, D).
    """
    return noise + t[:, None] * (data - noise), data - noise


def revealed(clock: Tensor, t: Tensor, end: float) -> Tensor:
    """Which atoms show their element at time t in the absorbing ("mask") process.

    An atom with uniform clock τ is undetermined before t = τ·end and determined after, so the share that is
    determined grows linearly and is complete at ``end`` (discrete flow matching, Gat et al., arXiv:2407.15595).

    Args:
        clock: τ (S, A) uniform in [0, 1).
        t: (S,).
        end: Time at which all elements are known.

    Returns:
        (S, A) boolean.
    """
    return clock * end < t[:, None]


def centred(velocity: Tensor, real: Tensor) -> Tensor:
    """Velocity without its mean over the atoms, since a common translation changes no crystal.

    Args:
        velocity: (S, A, 3).
        real: (S, A), False on padding.
    """
    weight = real[..., None].to(velocity.dtype)
    return (velocity - (velocity * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)) * weight


def pair_noise(noise: Tensor, data: Tensor, kinds: Tensor, real: Tensor) -> Tensor:
    """Reorder and shift noise so that paths to the data are short and without common drift.

    Within each kind the noise positions are assigned by the smallest sum of squared wrapped differences; then the
    mean of the remaining differences is moved into the noise. Both keep its distribution: it is exchangeable
    within a kind and invariant to translation.

    Args:
        noise: (S, A, 3) uniform.
        data: (S, A, 3).
        kinds: (S, A) atoms of one kind are exchangeable.
        real: (S, A), False on padding.
    """
    cost = shortest(data[:, :, None] - noise[:, None]).square().sum(-1)
    forbidden = (kinds[:, :, None] != kinds[:, None]) | (real[:, :, None] != real[:, None])
    matrices = cost.masked_fill(forbidden, 1e3).double().numpy()
    columns = np.stack([linear_sum_assignment(matrix)[1] for matrix in matrices])
    noise = noise.gather(1, torch.from_numpy(columns)[..., None].expand_as(noise))
    drift = shortest(data - noise)
    return (noise + drift - centred(drift, real)) % 1.0
