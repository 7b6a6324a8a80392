"""A deep ensemble on composition vectors, for tables without structures and for quick answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from matgen.errors import DataError
from matgen.features.composition import MAX_Z, composition_features, fractions
from matgen.surrogates.base import SURROGATES
from matgen.surrogates.ensemble import DeepEnsemble, EnsembleConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Composition

UNKNOWN_RADIUS = 1.5
"""Å, in place of a radius that pymatgen does not give (noble gases, the heaviest elements)."""

SHAPE_FEATURES = ("log volume per atom", "log mass density", "log volume over that of the elements")


class CompositionNetwork(nn.Module):
    """A multilayer perceptron over standardised features; the element fractions enter unscaled.

    Args:
        features: D, columns that are standardised.
        fractions: Columns after those, taken as they are.
        width: Hidden size.
        dropout: Share of hidden units left out in training.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, features: int, fractions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features + fractions))
        self.register_buffer("spread", torch.ones(features + fractions))
        self.features = features
        layers: list[nn.Module] = []
        for size in (features + fractions, width):
            layers += [nn.Linear(size, width), nn.LayerNorm(width), nn.SiLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers, nn.Linear(width, width // 2), nn.SiLU())
        self.mean = nn.Linear(width // 2, 1)
        self.log_scale = nn.Sequential(nn.Linear(width // 2, width // 2), nn.SiLU(), nn.Linear(width // 2, 1))

    def standardise(self, rows: Tensor) -> None:
        """Take centre and spread of the first D columns from training rows (n, D + fractions)."""
        self.centre[: self.features] = rows[:, : self.features].mean(0)
        self.spread[: self.features] = rows[:, : self.features].std(0).clamp_min(1e-3)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled mean (S,), log width (S,) and embedding (S, width / 2)."""
        embedding = self.body(((rows - self.centre) / self.spread).clamp(-8, 8))
        return self.mean(embedding)[:, 0], self.log_scale(embedding.detach())[:, 0], embedding


@dataclass(frozen=True)
class CompositionConfig(EnsembleConfig):
    """Settings of :class:`CompositionEnsemble`.

    Args:
        width: Hidden size.
        dropout: Share of hidden units left out in training.
        shape: Whether volume and density of the structure join the composition vector.
    """

    members: int = 5
    epochs: int = 60
    rate: float = 1e-3
    width: int = 192
    dropout: float = 0.1
    shape: bool = False


@SURROGATES.register("composition-ensemble")
class CompositionEnsemble(DeepEnsemble):
    """Multilayer perceptrons on element statistics; takes structures, or compositions where no shape is asked."""

    name = "composition-ensemble"
    config_class = CompositionConfig
    config: CompositionConfig

    def network(self) -> nn.Module:
        """A perceptron of the configured size."""
        features = len(composition_features(["H"])[0]) + len(SHAPE_FEATURES) * self.config.shape
        return CompositionNetwork(features, MAX_Z + 1, self.config.width, self.config.dropout)

    def prepare(self, network: nn.Module, items: Sequence[Any]) -> None:
        """Standardise the inputs by the training rows."""
        if isinstance(network, CompositionNetwork):
            network.standardise(torch.stack(list(items)))

    def items(self, structures: Sequence[Structure | Composition]) -> list[Tensor]:
        """Rows (D + 119,): features, then element fractions."""
        blocks = [composition_features(structures)]
        if self.config.shape:
            blocks.append(shape_features(structures))
        return list(torch.from_numpy(np.concatenate([*blocks, fractions(structures)], axis=1)).float())

    def collate(self, items: Sequence[Any], noise: torch.Generator | None) -> Tensor:
        """The rows as one tensor."""
        return torch.stack(list(items))


def shape_features(structures: Sequence[Structure | Composition]) -> np.ndarray:
    """(S, 3) features of :data:`SHAPE_FEATURES`; the last compares with the sum of covalent spheres.

    Raises:
        DataError: A composition without a structure.
    """
    rows = []
    for structure in structures:
        if not isinstance(structure, Structure):
            raise DataError("this model needs structures, not only compositions.", where=structure.formula)
        per_atom = structure.volume / len(structure)
        spheres = np.mean(
            [4 / 3 * np.pi * float(site.specie.atomic_radius or UNKNOWN_RADIUS) ** 3 for site in structure]
        )
        rows.append([np.log(per_atom), np.log(structure.density), np.log(per_atom / spheres)])
    return np.array(rows).reshape(-1, len(SHAPE_FEATURES))
