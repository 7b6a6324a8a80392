"""What the tokens of crystals have in common, so that rare ones are learned from their likes.

Shapes: V tokens, F features.
"""

from __future__ import annotations

from functools import cache
from math import pi
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from matgen.data.symmetry import crystal_system
from matgen.elements import N_NUMBERS, covalent_radius, elements, smact_electronegativity
from matgen.features.wyckoff import positions
from matgen.generators.crystal_tokens import (
    ANGLE,
    BINS,
    COORDINATE,
    GROUP,
    POSITION,
    RATIO,
    VOLUME,
    first_token,
    vocabulary,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

WAVES = 6
"""Waves by which neighbouring bins of a number resemble each other."""


@cache
def token_features(max_atoms: int) -> np.ndarray:
    """(V, F): one-hot facts of elements, space groups and Wyckoff positions; waves of numbers."""
    facts = [
        *((z, fact) for z in range(1, N_NUMBERS) for fact in _element(z)),
        *((first_token(GROUP) + g - 1, fact) for g in range(1, 231) for fact in _group(g)),
        *_positions(),
    ]
    columns = {fact: k for k, fact in enumerate(dict.fromkeys(fact for _, fact in facts))}
    found = np.zeros((vocabulary(max_atoms), len(columns)), dtype=np.float32)
    for token, fact in facts:
        found[token, columns[fact]] = 1.0
    return np.concatenate([found, _scales(len(found)), _waves(len(found))], axis=1)


def _element(z: int) -> Iterator[Hashable]:
    element = elements()[z]
    if element is not None:
        yield "row", element.row
        yield "column", element.group if not element.is_lanthanoid and not element.is_actinoid else 0
        yield "block", element.block


def _group(group: int) -> Iterator[Hashable]:
    kind = moyopy.SpaceGroupType(group)
    yield "system", crystal_system(group)
    yield "class", str(kind.geometric_crystal_class)
    yield "centring", kind.hm_short[0]


def _positions() -> Iterator[tuple[int, Hashable]]:
    token = first_token(POSITION)
    for group in range(1, 231):
        for at in positions(group):
            for fact in (
                ("letter", at.letter),
                ("site", at.site_symmetry),
                ("multiplicity", at.multiplicity),
                ("freedom", len(at.free)),
                ("of system", crystal_system(group)),
                ("of class", str(moyopy.SpaceGroupType(group).geometric_crystal_class)),
            ):
                yield token, fact
            token += 1


def _scales(tokens: int) -> np.ndarray:
    """(V, 2) electronegativity and radius of elements, about 0."""
    found = np.zeros((tokens, 2), dtype=np.float32)
    found[:N_NUMBERS, 0] = np.nan_to_num(smact_electronegativity() - 1.8)
    found[:N_NUMBERS, 1] = np.nan_to_num(covalent_radius() - 1.4)
    return found


def _waves(tokens: int) -> np.ndarray:
    """(V, 8 WAVES) sines and cosines of numbers, of half a turn over the range unless it is periodic."""
    found = np.zeros((tokens, 2 * WAVES * 4), dtype=np.float32)
    for k, kind in enumerate((VOLUME, RATIO, ANGLE, COORDINATE)):
        turn = 2 * pi if kind == COORDINATE else pi
        phase = np.arange(BINS)[:, None] / BINS * turn * np.arange(1, WAVES + 1)
        start = first_token(kind)
        found[start : start + BINS, 2 * WAVES * k : 2 * WAVES * (k + 1)] = np.hstack([np.sin(phase), np.cos(phase)])
    return found
