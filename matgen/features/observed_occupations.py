"""Which Wyckoff positions are occupied together in known crystals.

The table beside this module counts letters of 16,021 Materials Project crystals of at most 20 atoms (none of MP-20's
test split), without their elements; :mod:`matgen.features.occupation_building` made it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matgen.features.wyckoff import position

TABLE = Path(__file__).with_name("observed_occupations.json")


@dataclass(frozen=True)
class Pattern:
    """Letters of a crystal by element, without naming the elements.

    Args:
        group: Space group.
        letters: Of each element.
        count: How often it was seen.
    """

    group: int
    letters: tuple[tuple[str, ...], ...]
    count: int

    @property
    def amounts(self) -> tuple[int, ...]:
        """Atoms of each element in the primitive cell."""
        return tuple(sum(position(self.group, letter).multiplicity for letter in own) for own in self.letters)


@cache
def observed(group: int) -> tuple[Pattern, ...]:
    """Patterns of a space group, the most frequent first; empty where none was seen."""
    rows: dict[str, int] = _table().get(str(group), {})
    return tuple(
        Pattern(group, tuple(tuple(own.split(",")) for own in text.split("|")), count) for text, count in rows.items()
    )


@cache
def _table() -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
