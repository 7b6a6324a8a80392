"""A learned judge of placements: which template, filled how, is the structure of this composition?

Shapes: K placements of one composition, S species, B bins of the pair distribution, F features.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from matgen.errors import ConfigError
from matgen.features.pair_distribution import distances_between
from matgen.generators.base import CARD, SHIPPED, WEIGHTS
from matgen.generators.placement_features import placement_features
from matgen.runtime import file_id

if TYPE_CHECKING:
    from matgen.generators.templates import Placements, TemplateLibrary

SHIPPED_RANKER = SHIPPED / "placement-ranker"

MATCHED_AT = (0.0, 0.05, 0.09, 0.125, 0.175, 0.225, 0.275, 0.35, 0.45, 0.6, 1.0, 3.0)
MATCHED_SHARE = (1.0, 0.975, 0.96, 0.925, 0.83, 0.65, 0.51, 0.345, 0.19, 0.1, 0.04, 0.0)
"""Share of pairs of structures of one composition that pymatgen's StructureMatcher (stol 0.5, ltol 0.3, angle_tol 10)
matches, by the distance of their pair distributions; measured on 14,400 pairs made from 500 known compositions."""

SAME = float(np.interp(0.03, MATCHED_AT, MATCHED_SHARE))
"""Placements at least so alike are the same answer."""

FARTHEST = 6.0
"""Standard deviations beyond which a feature is cut off, for compositions unlike any in training."""


def match_probability(distance: np.ndarray) -> np.ndarray:
    """How probably two structures of one composition match, given the distance of their pair distributions."""
    return np.interp(distance, MATCHED_AT, MATCHED_SHARE)


def likeness(library: TemplateLibrary, placements: Placements) -> np.ndarray:
    """(K, K) probability that two placements of one composition are the same structure to the matcher."""
    return match_probability(distances_between(oriented(library, placements)))


def oriented(library: TemplateLibrary, placements: Placements) -> np.ndarray:
    """(K, S, S, B) pair distributions, species by atomic number so that placements can be compared."""
    order = np.argsort(placements.elements, axis=1)
    pairs = zip(placements.template, order, strict=True)
    return np.stack([library.pairs(i).distribution[np.ix_(o, o)] for i, o in pairs])


class PlacementRanker(nn.Module):
    """A small network from the features of a placement to the logarithm of its vote.

    Args:
        names: Names of the F features, in order.
        hidden: Size of the hidden layers.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, names: tuple[str, ...], hidden: int = 64) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("scale", torch.ones(len(names)))
        self.layers = nn.Sequential(
            *(nn.Linear(len(names), hidden), nn.SiLU(), nn.Dropout(0.1)),
            *(nn.Linear(hidden, hidden), nn.SiLU(), nn.Dropout(0.1)),
            nn.Linear(hidden, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(K,) logarithms of votes, up to a constant for each composition, from features (K, F)."""
        inputs = ((features - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        votes: Tensor = self.layers(inputs).squeeze(-1)
        return votes

    @torch.no_grad()
    def votes(self, library: TemplateLibrary, placements: Placements, alike: np.ndarray) -> np.ndarray:
        """(K,) probability that each placement is the right one; sums to 1."""
        features = stacked(placement_features(library, placements, alike), self.names)
        return torch.softmax(self(torch.from_numpy(features)).double(), dim=0).numpy()


def stacked(features: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """(K, F) features in the order of ``names``."""
    return np.stack([features[name] for name in names], axis=1).astype(np.float32)


def votes_by_cost(placements: Placements) -> np.ndarray:
    """(K,) votes without a ranker: all for the cheapest placement, so that the order is that of the costs."""
    rank = np.argsort(np.argsort(placements.cost, kind="stable"), kind="stable")
    return np.asarray(1e-3 ** np.minimum(rank, 90.0))


def most_likely_first(votes: np.ndarray, likeness: np.ndarray, n: int) -> list[int]:
    """Up to ``n`` placements such that each next one adds most to the probability that one of them is right.

    With p_j the votes and m_ij the likeness: i maximises Σ_j p_j m_ij Π_{c chosen} (1 - m_cj). Placements that
    are the same answer as one chosen before are passed over.

    Args:
        votes: (K,).
        likeness: (K, K).
        n: How many.
    """
    open_votes, free, chosen = votes.astype(float).copy(), np.ones(len(votes), dtype=bool), list[int]()
    while free.any() and len(chosen) < n:
        best = int(np.where(free, likeness @ open_votes, -1.0).argmax())
        chosen.append(best)
        open_votes *= 1.0 - likeness[best]
        free &= likeness[best] < SAME
    return chosen


@cache
def shipped_ranker() -> PlacementRanker:
    """The ranker that comes with matgen, trained on Materials Project structures."""
    from safetensors.torch import load_file

    card = json.loads((SHIPPED_RANKER / CARD).read_text(encoding="utf-8"))
    if card["fingerprint"] != file_id(SHIPPED_RANKER / WEIGHTS):
        raise ConfigError("weights and card do not belong together.", where=str(SHIPPED_RANKER))
    ranker = PlacementRanker(tuple(card["features"]))
    ranker.load_state_dict(load_file(SHIPPED_RANKER / WEIGHTS))
    return ranker.eval()
