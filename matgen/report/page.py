"""The report: one self-contained HTML file, from the records of a run."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from matgen.data.candidates import ACCEPTED
from matgen.errors import ConfigError
from matgen.report import summary
from matgen.report.cards import Card, cards
from matgen.report.charts import histogram, scatter
from matgen.report.citations import citations
from matgen.report.crystal import element_style
from matgen.report.explanations import EXPLAINED, Explained, explanations
from matgen.report.exports import csv_text
from matgen.report.fields import predicted
from matgen.report.funnel import funnel
from matgen.report.periodic import element_map
from matgen.report.poster import gradients
from matgen.report.ranking_table import ranking_table
from matgen.report.records import HasFolder, Records, read_records
from matgen.runtime import file_id, write_text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

ASSETS = Path(__file__).parent / "assets"
VIEWER, SCRIPT, STYLE = "3Dmol-min.js", "report.js", "report.css"
FILE = "report.html"


def report(
    source: str | os.PathLike[str] | HasFolder,
    out: str | os.PathLike[str] | None = None,
    top: int = 20,
    explained: int = EXPLAINED,
    recipes: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the report of a run: an HTML file that opens without network and runs no script but its own.

    Args:
        source: The folder of a run, or the run that the workflow returned.
        out: The file to write; ``report.html`` in the folder by default.
        top: Candidates that get a card with a 3-D view.
        explained: Cards that carry an explanation with its sources.
        recipes: Reported syntheses from which the explanations draw a suggestion, JSON lines.

    Returns:
        The path of the file.

    Raises:
        ConfigError: ``top`` is negative.
        DataError: The folder holds no readable candidates.
    """
    if top < 0:
        raise ConfigError(f"top is {top}, but a report has no fewer than 0 cards.")
    records = read_records(source)
    path = Path(out) if out is not None else records.folder / FILE
    told = explanations(records, min(top, explained), Path(recipes) if recipes else None)
    write_text(path, render(records, top, told))
    return path


def render(records: Records, top: int, told: Mapping[str, Explained] | None = None) -> str:
    """The page as text, with the explanations told by candidate id."""
    environment = Environment(
        loader=PackageLoader("matgen.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = cards(records, top)
    return environment.get_template("page.html").render(**_context(records, shown), **_assets(), told=told or {})


def _context(records: Records, shown: list[Card]) -> dict[str, Any]:
    anchors = {str(card.row["id"]): card.anchor for card in shown}
    symbols = sorted({symbol for card in shown for symbol, _ in card.elements})
    return {
        "records": records,
        "summary": summary,
        "funnel": funnel(records),
        "cards": shown,
        "table": ranking_table(records.table, anchors),
        "plots": _plots(records, anchors),
        "gradients": gradients(symbols),
        "payload": [card.payload() for card in shown],
        "styles": {symbol: element_style(symbol) for symbol in symbols},
        "csv": csv_text(records.table),
        "citations": citations(records),
        "version": metadata.version("matgen"),
        "made": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "fingerprint": file_id(records.folder / ACCEPTED),
    }


def _plots(records: Records, anchors: dict[str, str]) -> dict[str, Markup]:
    links = {key: f"#{anchor}" for key, anchor in anchors.items()}
    table = records.table
    vertical = next((name for name in ("band_gap", *predicted(table), "e_form") if name in table), "")
    drawn = {
        "scatter": scatter(table, vertical, links),
        "histogram": histogram(table, records.rejected, summary.NEAR_HULL),
        "elements": element_map(records.candidates.structures) if len(table) else None,
    }
    return {name: plot for name, plot in drawn.items() if plot is not None}


def _assets() -> dict[str, Any]:
    """Scripts and style, and the hashes by which the page's policy admits exactly these scripts."""
    scripts = [_script(ASSETS / name) for name in (VIEWER, SCRIPT)]
    style = (ASSETS / STYLE).read_text(encoding="utf-8")
    return {
        "scripts": [Markup(text) for text in scripts],  # noqa: S704  our own files, never user text
        "hashes": [_hash(text) for text in scripts],
        "style": Markup(style),  # noqa: S704
    }


def _script(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"{path.name} cannot stand inside a script element.")
    return text


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
