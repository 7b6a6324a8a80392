"""The funnel: how many structures entered and left each stage, and why."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymatgen.core import Element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matgen.report.records import Records

MEANINGS = {
    "sample": "proposed by the generators",
    "screen": "rules of chemistry and geometry",
    "novelty": "neither repeats nor known",
    "promote": "quick estimates choose which are worth relaxing",
    "relax": "relaxed with the potential, then screened again",
    "hull": "energies measured from the reference hull",
    "distinct": "still neither repeats nor known after relaxation",
    "predict": "properties predicted with their uncertainty",
    "quantum": "the most promising relaxed by GFN2-xTB, with frontier orbitals",
    "rank": "ordered by all objectives together",
}
"""What the stages of a discovery ask of a structure."""
SYMBOL = f"(?:{'|'.join(sorted((e.symbol for e in Element), key=len, reverse=True))})"
NUMBER = r"(?<![A-Za-z0-9.])(?<![A-Za-z0-9]-)[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?"
ID = r"\b[0-9a-f]{12}\b"
PAIR = rf"\b{SYMBOL} and {SYMBOL}\b"
STATES = rf"\b{SYMBOL}\([-+]?[\d.]+\)(?: {SYMBOL}\([-+]?[\d.]+\))*"
FORMULA = rf"\b(?!NaN\b)(?:{SYMBOL}[\d.]*|\((?:{SYMBOL}[\d.]*)+\)[\d.]*){{2,}}(?!\w)"
DETAIL = re.compile("|".join([ID, PAIR, STATES, FORMULA, NUMBER]))
"""What differs between reasons of one kind: ids, pairs of elements, oxidation states, formulas, numbers."""


@dataclass(frozen=True)
class Step:
    """One stage of the funnel.

    Args:
        stage: Its name.
        entered: Structures that came in.
        rejected: Structures that it rejected.
        reasons: The kinds of reason with their counts, most frequent first.
        seconds: How long it took, where the run says so.
    """

    stage: str
    entered: int
    rejected: int
    reasons: tuple[tuple[str, int], ...]
    seconds: float | None = None

    @property
    def meaning(self) -> str:
        """What the stage does, where its name tells."""
        return MEANINGS.get(self.stage, "")

    @property
    def passed(self) -> int:
        """Structures that went on."""
        return self.entered - self.rejected


def funnel(records: Records) -> list[Step]:
    """The stages in order. Counts come from the records of structures, order and durations from ``run.json``."""
    rejected = records.rejected
    entered = len(records.table) + len(rejected)
    steps = []
    for stage in _order(records):
        reasons = [str(r) for r in rejected.loc[rejected["stage"] == stage, "reason"]]
        steps.append(Step(stage, entered, len(reasons), tuple(group_reasons(reasons)), _seconds(records, stage)))
        entered -= len(reasons)
    return steps


def group_reasons(reasons: Sequence[str]) -> list[tuple[str, int]]:
    """Count reasons that differ in details only (:data:`DETAIL`); a kind that has one reason keeps its details.

    A structure that left for several reasons, joined by semicolons, counts once for each.
    """
    kinds: dict[str, Counter[str]] = {}
    for reason in (part for text in reasons for part in text.split("; ")):
        kinds.setdefault(DETAIL.sub("…", reason), Counter())[reason] += 1
    counted = [(next(iter(c)) if len(c) == 1 else kind, c.total()) for kind, c in kinds.items()]
    return sorted(counted, key=lambda pair: (-pair[1], pair[0]))


def _order(records: Records) -> list[str]:
    """Stages as the run lists them, then any that only the rejected rows know, in order of appearance."""
    listed = [str(step["stage"]) for step in records.run.get("funnel", ()) if "stage" in step]
    return list(dict.fromkeys([*listed, *(str(s) for s in records.rejected["stage"])]))


def _seconds(records: Records, stage: str) -> float | None:
    seconds = records.run.get("timings", {}).get(stage)
    return float(seconds) if isinstance(seconds, int | float) else None
