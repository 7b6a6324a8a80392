"""The ranked table: headings with explanations, cells with the values that they are sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matgen.report.fields import FIELDS, Field, field_of, flag, number, predicted, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from markupsafe import Markup

MOST_ROWS = 1000
"""Rows beyond these are left to ``candidates.csv`` and ``candidates.parquet``."""
SWITCHES = {"novel": "New", "unique": "Unique", "in_domain": "In domain"}
"""Columns of truth values by which readers may filter."""


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, and the key by which its column is sorted."""

    shown: Markup
    key: str
    kind: str


@dataclass(frozen=True)
class Row:
    """A row, the anchor of its card if it has one, and the marks by which it is filtered."""

    cells: list[Cell]
    anchor: str
    marks: str


@dataclass(frozen=True)
class RankingTable:
    """Headings, rows, filters on offer, and how many rows were left out."""

    fields: list[Field]
    rows: list[Row]
    switches: dict[str, str]
    left_out: int


def ranking_table(table: pd.DataFrame, anchors: Mapping[str, str]) -> RankingTable:
    """The table of all candidates, as far as it fits on a page.

    Args:
        table: Candidates, best first.
        anchors: Anchor of the card of a candidate, by id.
    """
    fields = [f for f in FIELDS if f.name in table]
    known = {f.name for f in fields}
    fields[-1:-1] = [field_of(name) for name in predicted(table) if name not in known]
    rows = [_row(row, fields, anchors) for row in table.head(MOST_ROWS).to_dict("records")]
    switches = {name: label for name, label in SWITCHES.items() if name in table}
    if "pareto_front" in table:
        switches["front"] = "Pareto front"
    return RankingTable(fields, rows, switches, max(0, len(table) - MOST_ROWS))


def _row(row: Mapping[Any, Any], fields: list[Field], anchors: Mapping[str, str]) -> Row:
    marks = [name for name in SWITCHES if flag(row.get(name))]
    if number(row.get("pareto_front")) == 1:
        marks.append("front")
    cells = [Cell(written(field, row), _key(field, row.get(field.name)), field.kind) for field in fields]
    return Row(cells, anchors.get(str(row.get("id")), ""), " ".join(marks))


def _key(field: Field, value: Any) -> str:
    """Numbers and flags sort as numbers, missing ones last; everything else as text."""
    if field.kind == "flag":
        answer = flag(value)
        return "" if answer is None else str(int(not answer))
    found = number(value) if field.kind != "formula" else None
    return (
        str(value) if found is None and field.kind not in {"number", "whole"} else "" if found is None else repr(found)
    )
