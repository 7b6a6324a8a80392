"""The numbers of a run as citable records, and questions about its candidates answered by typed filters.

A record is a one-sentence document made from one row and one column, so that what is said of a candidate is
verified against the run in the same way as a quotation is verified against a paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matgen.assistant.asking import finish
from matgen.assistant.document import Answer, Citation, Document, Passage
from matgen.assistant.materials import ELEMENTS, element_names, parse_formula
from matgen.assistant.verification import check
from matgen.data.candidates import Candidates
from matgen.data.property import PROPERTIES
from matgen.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from pymatgen.core import Structure

LISTED = 10
"""Candidates named in one answer; more are counted."""


@dataclass(frozen=True)
class Run:
    """A finished run, read-only.

    Args:
        folder: Where it lies.
    """

    folder: Path

    @cached_property
    def candidates(self) -> Candidates:
        """Its candidates and rejected rows."""
        return Candidates.read(self.folder)

    def row(self, name: str) -> tuple[dict[str, Any], Structure]:
        """Columns and structure of a candidate by id, rank or formula (the best of that formula)."""
        table = self.candidates.table
        match = table["id"].astype(str) == name
        if not match.any() and name.isdigit() and "rank" in table:
            match = table["rank"] == int(name)
        if not match.any() and "formula" in table and (wanted := parse_formula(name)):
            match = table["formula"].map(lambda f: _formula(str(f)) == wanted.formula)
        if not match.any():
            fix = did_you_mean(name, map(str, table["id"]))
            raise DataError("no such candidate.", where=f"{self.folder}: {name}", fix=fix)
        at = int(match.to_numpy().argmax())
        return dict(table.iloc[at]), self.candidates.structures[at]


def record(row: dict[str, Any], what: str, sentence: str) -> Passage:
    """A sentence computed from a run, as a passage that can be cited."""
    document = Document(
        f"run:{row['id']}:{what}",
        f"Run record of {row.get('formula', row['id'])}",
        sentence,
        kind="record",
        source="run",
    )
    return Passage(document, 0, len(sentence))


def number(row: dict[str, Any], column: str) -> float | None:
    """A numeric entry, or None where it is absent or not finite."""
    value = row.get(column)
    if value is None or isinstance(value, str | bool) or pd.isna(value):
        return None
    return float(value)


def describe(row: dict[str, Any], column: str) -> str:
    """A property of a candidate in one sentence with unit and uncertainty."""
    prop, value, std = PROPERTIES[column], number(row, column), number(row, f"{column}_std")
    if value is None:
        return ""
    what, unit = f"The {prop.label.lower()} of {row.get('formula', row['id'])} is", f" {prop.unit}" if prop.unit else ""
    if std is None:
        return f"{what} {value:.4g}{unit} in this run."
    places = max(0, min(3, 1 - floor(log10(std)))) if std > 0 else 3
    return f"{what} {value:.{places}f} ± {std:.{places}f}{unit}, predicted by a surrogate model."


@dataclass(frozen=True)
class Condition:
    """A comparison on a column: ``low <= value <= high``."""

    column: str
    low: float = float("-inf")
    high: float = float("inf")

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether a row satisfies it; an absent value does not."""
        value = number(row, self.column)
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Query:
    """A typed question to a run.

    Args:
        include: Elements that must all occur.
        either: Elements of which at least one must occur; empty for no such wish.
        exclude: Elements that must not occur.
        conditions: Comparisons on columns.
        flags: Boolean columns that must be true.
        top: Only so many of the best by rank; 0 for all.
        count: Whether only the number is asked for.
    """

    include: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    conditions: tuple[Condition, ...] = ()
    flags: tuple[str, ...] = ()
    top: int = 0
    count: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing was understood."""
        return not (
            self.include or self.either or self.exclude or self.conditions or self.flags or self.top or self.count
        )

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether a candidate satisfies all parts."""
        elements = set(_elements(str(row.get("formula", ""))))
        return (
            self.include <= elements
            and (not self.either or bool(self.either & elements))
            and not self.exclude & elements
            and all(c.holds(row) for c in self.conditions)
            and all(bool(row.get(f)) for f in self.flags)
        )


COLUMNS = (
    (r"above (?:the )?(?:convex )?hull|hull|stabilit\w+|stable within", "e_above_hull"),
    (r"band ?gaps?|gaps?", "band_gap"),
    (r"formation energ\w+", "e_form"),
    (r"atoms", "n_atoms"),
    (r"space ?group", "space_group"),
)
_SCALE = {"mev": 1e-3, "ev": 1.0}
_NUM = r"(-?\d+(?:\.\d+)?)\s*(meV|eV)?(?:/atom)?"
_BETWEEN = re.compile(rf"between {_NUM} and {_NUM}", re.IGNORECASE)
_BELOW = re.compile(
    rf"(?:below|under|less than|at most|within|smaller than|lower than|<=?|up to) {_NUM}", re.IGNORECASE
)
_ABOVE = re.compile(
    rf"(?:above|over|more than|at least|larger than|higher than|greater than|exceed\w*|>=?) {_NUM}", re.IGNORECASE
)
_EQUAL = re.compile(r"space ?group (?:number )?(\d+)|(\d+) atoms", re.IGNORECASE)
_NAMES = {**element_names(), **{s.lower(): s for s in ELEMENTS if len(s) == 2}}
_WORD = "|".join(sorted({*element_names()}, key=len, reverse=True))
_SYMBOL = "|".join(sorted(ELEMENTS, key=len, reverse=True))
_LIST = rf"((?:(?:{_WORD}|(?-i:{_SYMBOL}))(?:,? (?:or|and|nor) |, )?)+)\b"
_WITHOUT = re.compile(rf"(?:without|no|not contain(?:ing)?|free of|exclud\w+|lack\w*) (?:any )?{_LIST}", re.IGNORECASE)
_FREE = re.compile(rf"\b({_WORD}|(?-i:{_SYMBOL}))-free\b", re.IGNORECASE)
_WITH = re.compile(rf"(?<!not )(?:contain(?:s|ing)?|with|includ\w+|has|have) (?:both )?{_LIST}", re.IGNORECASE)


def parse_query(question: str) -> Query:
    """Understand a question about candidates; what is not understood leaves the query empty."""
    exclude = {e for m in _WITHOUT.finditer(question) for e in _named(m[1])}
    exclude |= {e for m in _FREE.finditer(question) for e in _named(m[1])}
    rest = _FREE.sub(" ", _WITHOUT.sub(" ", question))
    include: set[str] = set()
    either: set[str] = set()
    for match in _WITH.finditer(rest):
        (either if re.search(r"\bor\b", match[1]) else include).update(_named(match[1]))
    top = re.search(r"\b(?:top|best|first)\s+(\d+)\b", question, re.IGNORECASE)
    flags = tuple(
        f for f in ("novel", "unique", "in_domain") if re.search(rf"\b{f.replace('_', ' ')}\b", question, re.IGNORECASE)
    )
    return Query(
        frozenset(include),
        frozenset(either),
        frozenset(exclude),
        tuple(_conditions(rest)),
        flags,
        int(top[1]) if top else 0,
        bool(re.search(r"\bhow many\b", question, re.IGNORECASE)),
    )


def _conditions(text: str) -> list[Condition]:
    found = []
    text = re.sub(r"above (?:the )?(?:convex )?hull", "hull", text, flags=re.IGNORECASE)
    for match in _BETWEEN.finditer(text):
        low, high = _scaled(match[1], match[2] or match[4]), _scaled(match[3], match[4])
        found.append(Condition(_column(text, match), low, high))
    plain = _BETWEEN.sub(lambda m: " " * len(m[0]), text)
    found += [Condition(_column(text, m), high=_scaled(m[1], m[2])) for m in _BELOW.finditer(plain)]
    found += [Condition(_column(text, m), low=_scaled(m[1], m[2])) for m in _ABOVE.finditer(plain)]
    for match in _EQUAL.finditer(_ABOVE.sub(" ", _BELOW.sub(" ", plain))):
        value = float(match[1] or match[2])
        found.append(Condition("space_group" if match[1] else "n_atoms", value, value))
    if re.search(r"\bon the (?:convex )?hull\b", text, re.IGNORECASE) and not found:
        found.append(Condition("e_above_hull", high=1e-6))
    return found


def _column(text: str, match: re.Match[str]) -> str:
    """The quantity named nearest before a comparison, or right after it; energies default to the hull distance."""
    before, after = text[: match.start()], text[match.end() : match.end() + 25]
    named = [
        (m.end(), column)
        for pattern, column in COLUMNS
        for m in re.finditer(rf"\b(?:{pattern})\b", before, re.IGNORECASE)
    ]
    following = [column for pattern, column in COLUMNS if re.match(rf"\W*(?:{pattern})\b", after, re.IGNORECASE)]
    if following:
        return following[0]
    return max(named)[1] if named else "e_above_hull"


def ask_run(question: str, folder: str | Path) -> Answer:
    """Answer a question about the candidates of a run; every sentence cites the record that it was computed from."""
    run = Run(Path(folder))
    if (why := _why(question, run)) is not None:
        return why
    query = parse_query(question)
    if query.empty:
        known = (
            "elements with or without, comparisons (energy above hull, band gap, formation energy, atoms, space group)"
        )
        text = (
            f"I cannot turn this into a question to the run's table. It understands: {known}, novel, top N, how many."
        )
        return Answer(text, refused=True, missing=("a condition on the run's table",))
    absent = [c.column for c in query.conditions if c.column not in run.candidates.table]
    absent += [f for f in query.flags if f not in run.candidates.table]
    if absent:
        return Answer(f"This run did not compute {', '.join(absent)}.", refused=True, missing=tuple(absent))
    return _listed(query, run)


def _listed(query: Query, run: Run) -> Answer:
    table = run.candidates.table
    rows = [row for row in table.to_dict("records") if query.matches(row)]
    if "rank" in table:
        rows.sort(key=lambda r: (number(r, "rank") or 0.0, str(r["id"])))
    rows = rows[: query.top] if query.top else rows
    total = {"id": run.folder.name, "formula": run.folder.name}
    counted = f"{len(rows)} of {len(table)} candidates satisfy the question."
    passages = [record(total, "count", counted)]
    if not query.count:
        passages += [record(row, "row", _line(row, query)) for row in rows[:LISTED]]
    citations = [Citation.of(label, p) for label, p in enumerate(passages, start=1)]
    return _told(citations, [{"step": "query", "query": str(query)}])


def _told(citations: list[Citation], trace: list[dict[str, Any]]) -> Answer:
    """An answer that consists of the cited records."""
    return finish(check([(c.passage, (c.label,)) for c in citations], citations), citations, 1.0, trace)


def _line(row: dict[str, Any], query: Query) -> str:
    columns = dict.fromkeys([c.column for c in query.conditions] + ["e_above_hull", "band_gap"])
    facts = []
    for column in columns:
        value = number(row, column)
        if value is not None:
            facts.append(_fact(row, column, value))
    rank = f"rank {int(row['rank'])}: " if number(row, "rank") is not None else ""
    return f"{rank}{row.get('formula', '')} ({row['id']}) has {', '.join(facts) or 'no computed properties'}."


def _fact(row: dict[str, Any], column: str, value: float) -> str:
    """A value with its unit and what it rests on: the potential and the hull, or a surrogate's spread."""
    prop = PROPERTIES.get(column)
    label = prop.label.lower() if prop else column.replace("_", " ")
    unit = f" {prop.unit}" if prop and prop.unit else ""
    if column == "e_above_hull" and row.get("hull_reference"):
        return f"{label} {value:.4g}{unit} (machine-learned potential, {row['hull_reference']} reference hull)"
    spread = number(row, f"{column}_std")
    return f"{label} {value:.4g}{unit}" if spread is None else f"{label} {value:.4g} ± {spread:.2g}{unit} (surrogate)"


def _why(question: str, run: Run) -> Answer | None:
    """Answer "why was X rejected" from the rejected rows."""
    if not re.search(r"\bwhy\b.*\b(?:reject\w*|leave|left|drop\w*|remov\w*|fail\w*)\b", question, re.IGNORECASE):
        return None
    rows = run.candidates.rejected.to_dict("records")
    named = [r for r in rows if re.search(rf"\b{re.escape(str(r['id']))}\b", question)]
    named = named or [r for r in rows if str(r.get("formula", "-")) in question.split()]
    named = named or [r for r in rows if str(r.get("formula", "-")) in question.rstrip("?").split()]
    if not named:
        return Answer("No rejected candidate of that id or formula.", refused=True, missing=("an id or formula",))
    passages = [
        record(r, "rejected", f"{r.get('formula', '')} ({r['id']}) left at stage {r['stage']}: {r['reason']}.")
        for r in named[:LISTED]
    ]
    citations = [Citation.of(label, p) for label, p in enumerate(passages, start=1)]
    return _told(citations, [])


def _scaled(value: str, unit: str | None) -> float:
    return float(value) * _SCALE[(unit or "eV").lower()]


def _named(text: str) -> list[str]:
    words = re.findall(r"[A-Za-z]+", text)
    return [w if w in ELEMENTS else _NAMES[w.lower()] for w in words if w in ELEMENTS or w.lower() in _NAMES]


def _formula(text: str) -> str:
    material = parse_formula(text)
    return material.formula if material else text


def _elements(formula: str) -> list[str]:
    return re.findall(r"[A-Z][a-z]?", formula)
