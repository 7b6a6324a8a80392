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
        noise: x0 (S, ..., D), normal.
        data: x1 (S, ..., D).
        t: (S,).

    Returns:
        x_t and u, both (S, ..., D).
    """
    return noise + t.view(-1, *[1] * (data.ndim - 1)) * (data - noise), data - noise


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


def variance_preserving(t: Tensor) -> tuple[Tensor, Tensor]:
    """Signal α and noise σ of the variance-preserving path x_t = α x1 + σ ε, α² + σ² = 1 (Ho et al., arXiv:2006.11239).

    The clock is such that α / (α + σ) = t: at equal t the state of the straight path is x_t / (α + σ), so a network
    fed with the scaled state serves both.

    Args:
        t: Any shape.
    """
    length = (t.square() + (1 - t).square()).sqrt()
    return t / length, (1 - t) / length


def wrapped_width(t: Tensor) -> Tensor:
    """Standard deviation of the wrapped-normal path at time t, in fractional units.

    σ = (1 - t) / √12 + (1/2 - 1/√12) (1 - t)²: near the data as wide as the torus geodesic from uniform noise, and 1/2
    at t = 0, where the wrapped normal is uniform within 2 %.
    """
    left = (1 - t).clamp_min(1e-3)
    narrow = 12**-0.5
    return narrow * left + (0.5 - narrow) * left.square()


def wrapped_normal(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Wrapped normal on the torus and its scaled score (Jing et al., arXiv:2206.01729; for crystals DiffCSP).

    x_t = x1 + σ ε (mod 1). With d = log_{x1}(x_t) and weights w_k = exp(-(d + k)² / 2σ²) of the images k, the score is
    s = -Σ_k w_k (d + k) / (σ² Σ_k w_k); given is σ² s / (1 - t), the velocity towards the expected data.

    Args:
        noise: ε (S, A, 3), standard normal.
        data: x1 (S, A, 3) fractional.
        t: (S,).

    Returns:
        x_t and σ² s / (1 - t), both (S, A, 3).
    """
    width = wrapped_width(t)[:, None, None]
    x = (data + width * noise) % 1.0
    images = shortest(x - data)[..., None] + torch.arange(-3, 4, device=data.device)
    weights = (-images.square() / (2 * width.square()[..., None])).softmax(-1)
    return x, -(weights * images).sum(-1) / (1 - t).clamp_min(1e-3)[:, None, None]
