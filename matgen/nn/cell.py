"""Cells as six unconstrained numbers: the logarithm of the symmetric stretch.

A cell with rows a, b, c factors as L = P R with P = (L Lᵀ)^(1/2) symmetric positive definite and R a rotation
(polar decomposition). log P is a symmetric matrix, so six numbers without any bound describe the cell up to
rotation, and exp gives positive volume always (as used by DiffCSP++, arXiv:2402.03992).
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = (0, 1, 2, 0, 0, 1)
_COLUMNS = (0, 1, 2, 1, 2, 2)


def log_stretch(cell: Tensor) -> Tensor:
    """Six numbers of each cell: log P as (xx, yy, zz, xy, xz, yz), dimensionless with lengths in Å.

    Args:
        cell: (S, 3, 3) rows a, b, c in Å.

    Returns:
        (S, 6).
    """
    values, vectors = torch.linalg.eigh(cell @ cell.mT)
    log_p = vectors @ torch.diag_embed(values.clamp_min(1e-12).log() / 2) @ vectors.mT
    return log_p[:, _ROWS, _COLUMNS]


def stretch(log_p: Tensor) -> Tensor:
    """Cells exp(log P), inverse of :func:`log_stretch` up to rotation.

    Args:
        log_p: (S, 6).

    Returns:
        (S, 3, 3) symmetric, rows a, b, c in Å.
    """
    matrix = log_p.new_zeros(len(log_p), 3, 3)
    matrix[:, _ROWS, _COLUMNS] = log_p
    matrix[:, _COLUMNS, _ROWS] = log_p
    return torch.linalg.matrix_exp(matrix)
