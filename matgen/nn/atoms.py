"""Atom tokens that know the periodic table."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import torch
from pymatgen.core import Element
from torch import Tensor, nn

MAX_Z = 118


@cache
def element_features() -> np.ndarray:
    """(119, F) standardised features by atomic number; row 0 ("undetermined") is zero.

    Period, group, log mass, Pauling electronegativity, atomic radius, Mendeleev number and block (s, p, d, f) from
    pymatgen; an unknown value becomes the mean, with a flag of its own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for each element without an electronegativity
        rows = [_facts(Element.from_Z(z)) for z in range(1, MAX_Z + 1)]
    table = np.array(rows, dtype=float)
    missing = np.isnan(table)
    table = (table - np.nanmean(table, 0)) / np.nanstd(table, 0).clip(1e-6)
    table = np.concatenate([np.where(missing, 0.0, table), missing[:, 3:6].astype(float)], axis=1)
    return np.concatenate([np.zeros((1, table.shape[1])), table]).astype(np.float32)


def _facts(element: Element) -> list[float]:
    blocks = [float(element.block == block) for block in "spdf"]
    known = [element.X if 0 < element.X < 5 else None, element.atomic_radius, element.mendeleev_no]
    optional = [np.nan if value is None else float(value) for value in known]
    return [element.row, element.group, np.log(element.atomic_mass), *optional, *blocks]


class AtomTable(nn.Module):
    """One vector for each atomic number: a learned part plus a projection of :func:`element_features`.

    Args:
        width: Size of the vectors.
    """

    features: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        features = torch.from_numpy(element_features())
        self.register_buffer("features", features, persistent=False)
        self.learned = nn.Embedding(MAX_Z + 1, width)
        self.project = nn.Linear(features.shape[1], width, bias=False)
        nn.init.normal_(self.learned.weight, std=0.3)

    def forward(self) -> Tensor:
        """(119, width)."""
        return self.learned.weight + self.project(self.features)
