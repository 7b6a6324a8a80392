"""The card of a data set: what is in it, where it comes from, what was repaired and refused. JSON and Markdown."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element

from matgen import __version__
from matgen.data.gate import GATE_VERSION
from matgen.data.property import PROPERTIES
from matgen.data.splits import shared_formulas

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

COMPUTED = ("volume_per_atom", "density")
"""Properties that the gate computes from the structure."""


PROPERTY_COLUMNS = {"unit": "unit", "column": "from column", "unit_is": "unit known", "count": "rows"} | {
    name: name for name in ("min", "median", "max", "mean", "std")
}
"""Keys of a property in the card, and their headings in Markdown."""

LONGEST_TABLE = 20
"""Rows of one table of the Markdown card."""


def make_card(
    table: pd.DataFrame,
    quarantine: pd.DataFrame,
    *,
    about: Mapping[str, dict[str, Any]],
    sources: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    ignored: Sequence[str] = (),
) -> dict[str, Any]:
    """The card of kept and refused rows.

    Args:
        table: Kept rows.
        quarantine: Refused rows.
        about: Where each property comes from.
        sources: Name, size and hash of each source.
        settings: What the gate was asked to do; ``name`` and ``licence`` are among it.
        ignored: Columns that hold no numbers.
    """
    notes = Counter(_kind(note) for row in table["notes"] for note in row)
    flags = Counter(_kind(flag) for row in table["flags"] for flag in row)
    computed = {n: _computed(n) for n in COMPUTED if n in table}
    return {
        "name": settings["name"],
        "made_by": f"matgen {__version__}, gate {GATE_VERSION}",
        "holds": "molecules" if "smiles" in table else "structures" if "space_group" in table else "formulas",
        "rows": {
            "in": len(table) + len(quarantine),
            "kept": len(table),
            "quarantined": len(quarantine),
            "repaired": int((table["notes"].map(len) > 0).sum()),
            "flagged": int((table["flags"].map(len) > 0).sum()),
        },
        "fingerprint": settings["fingerprint"],
        "licence": settings["licence"] or "not stated",
        "sources": list(sources),
        "properties": {n: {**a, **_numbers(table[n])} for n, a in ({**about, **computed}).items()},
        "elements": _elements(table["formula"]),
        "formulas": int(table["formula"].nunique()),
        "n_atoms": _numbers(table["n_atoms"]) if "n_atoms" in table else None,
        "space_groups": _counts(table["space_group"].dropna().astype(int)) if "space_group" in table else None,
        "splits": _counts(table["split"].dropna()),
        "formulas_in_two_splits": shared_formulas(table),
        "quarantine": _counts(quarantine["reason"].map(_kind)),
        "repairs": dict(notes.most_common()),
        "flags": dict(flags.most_common()),
        "columns_without_numbers": list(ignored),
        "rules": settings["rules"],
        "cache_key": settings["cache_key"],
    }


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    rows = card["rows"]
    parts = [
        f"# {card['name']}\n",
        f"{rows['kept']:,} {card['holds']} kept of {rows['in']:,} rows, {rows['quarantined']:,} quarantined, "
        f"{rows['repaired']:,} repaired, {rows['flagged']:,} flagged.\n",
        f"* Licence: {card['licence']}\n* Fingerprint: `{card['fingerprint']}`\n* Made by: {card['made_by']}\n",
        "## Sources\n",
        _table(("source", "bytes", "hash"), [(s["name"], s.get("bytes"), s.get("hash")) for s in card["sources"]]),
        "## Properties\n",
        _table(
            ("property", *PROPERTY_COLUMNS.values()),
            [[name, *(about.get(key) for key in PROPERTY_COLUMNS)] for name, about in card["properties"].items()],
        ),
        "## Content\n",
        f"{card['formulas']:,} reduced formulas, {len(card['elements'])} elements: "
        + ", ".join(f"{symbol} {count:,}" for symbol, count in card["elements"].items())
        + "\n",
    ]
    if card["n_atoms"] and card["n_atoms"]["count"]:
        parts.append(f"Atoms in a cell: {card['n_atoms']['min']:g} to {card['n_atoms']['max']:g}.\n")
    for title, key in (
        ("Space groups", "space_groups"),
        ("Splits", "splits"),
        ("Formulas that occur in two splits", "formulas_in_two_splits"),
        ("Quarantined, by reason", "quarantine"),
        ("Repaired", "repairs"),
        ("Flagged", "flags"),
    ):
        if card[key]:
            shown = list(card[key].items())[:LONGEST_TABLE]
            parts += [f"## {title}\n", _table(("what", "rows"), shown)]
            if len(card[key]) > len(shown):
                parts.append(f"and {len(card[key]) - len(shown)} more in the JSON card.\n")
    return "\n".join(parts)


def _computed(name: str) -> dict[str, Any]:
    prop = PROPERTIES[name]
    return {"column": None, "label": prop.label, "unit": prop.unit, "given_unit": prop.unit, "unit_is": "computed"}


def _numbers(column: pd.Series) -> dict[str, Any]:
    values = column.dropna().to_numpy(dtype=float)
    if not len(values):
        return {"count": 0, "missing": len(column)}
    spread = {"min": values.min(), "median": np.median(values), "max": values.max(), "mean": values.mean()}
    return {
        "count": len(values),
        "missing": len(column) - len(values),
        **{name: float(f"{value:.6g}") for name, value in {**spread, "std": values.std()}.items()},
    }


def _elements(formulas: pd.Series) -> dict[str, int]:
    """Number of rows that hold each element, by atomic number."""
    counted: Counter[str] = Counter()
    for formula, rows in formulas.value_counts().items():
        for symbol in set(re.findall(r"[A-Z][a-z]?", str(formula))):
            counted[symbol] += int(rows)
    return {symbol: counted[symbol] for symbol in sorted(counted, key=lambda symbol: Element(symbol).Z)}


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


def _kind(text: str) -> str:
    """A reason or note without what is particular to one row."""
    head = re.sub(r"\([^)]*\)|'[^']*'", "", text.split(": ")[0])
    head = re.sub(r"^near duplicate of .*", "near duplicate", head)
    head = re.sub(r"^atom \S+ ", "atom ", head)
    head = re.sub(r"(?<![\w./])-?\d[\d,.]*(?![\w/])", "N", head)
    return " ".join(head.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
