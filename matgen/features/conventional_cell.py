"""What a crystal system leaves free of the conventional cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matgen.data.symmetry import crystal_system

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTHS = {
    "triclinic": (0, 1, 2),
    "monoclinic": (0, 1, 2),
    "orthorhombic": (0, 1, 2),
    "tetragonal": (0, 0, 2),
    "trigonal": (0, 0, 2),
    "hexagonal": (0, 0, 2),
    "cubic": (0, 0, 0),
}
"""Which of a, b, c each axis of the conventional cell takes its length from."""

ANGLES = {"triclinic": (0, 1, 2), "monoclinic": (1,)}
"""Which of alpha, beta, gamma are free; the others are right angles, or 120 degrees for gamma of hexagonal axes."""


def free_lengths(group: int) -> tuple[int, ...]:
    """Which of a, b, c the crystal system of a space group leaves free."""
    return tuple(sorted(set(LENGTHS[crystal_system(group)])))


def free_angles(group: int) -> tuple[int, ...]:
    """Which of alpha, beta, gamma it leaves free."""
    return ANGLES.get(crystal_system(group), ())


def cell_parameters(group: int, lengths: Sequence[float], angles: Sequence[float]) -> tuple[float, ...]:
    """a, b, c in Å, alpha, beta, gamma in degrees from the free ones, in the order of the functions above."""
    system = crystal_system(group)
    known = dict(zip(free_lengths(group), lengths, strict=True))
    right = [90.0, 90.0, 120.0 if system in ("trigonal", "hexagonal") else 90.0]
    for k, angle in zip(free_angles(group), angles, strict=True):
        right[k] = float(angle)
    return (*(float(known[k]) for k in LENGTHS[system]), *right)
