"""The page of a comparison of generators: the leaderboard, and yield against speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from matgen.report.axes import frame, padded, plot, x_scale, y_scale
from matgen.runtime import write_text

if TYPE_CHECKING:
    import os

    from matgen.evaluate.comparison import Comparison

FILE = "leaderboard.html"
COLUMNS = {
    "generator": "Generator",
    "score": "Yield",
    "new": "Valid, unique, new",
    "near_hull": "Near the hull",
    "median_e_above_hull": "Median above hull, eV/atom",
    "structural_validity": "Structures valid",
    "composition_validity": "Compositions valid",
    "samples_per_second": "Samples a second",
    "parameters": "Parameters",
    "memory_mb": "Memory, MB",
    "training_minutes": "Training, min",
}
SHARES = frozenset({"score", "new", "near_hull", "structural_validity", "composition_validity"})


def write_leaderboard(found: Comparison, folder: str | os.PathLike[str]) -> Path:
    """Write ``leaderboard.html`` into a folder: one file that opens without network.

    Returns:
        Its path.
    """
    environment = Environment(
        loader=PackageLoader("matgen.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = (Path(__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    page = environment.get_template("leaderboard.html").render(
        found=found,
        style=Markup(style),  # noqa: S704 - our own style sheet
        heads=list(COLUMNS.values()),
        rows=[[_written(name, row.get(name)) for name in COLUMNS] for row in found.table.to_dict("records")],
        problems=[r for r in found.table.to_dict("records") if isinstance(r.get("problem"), str)],
        chart=_chart(found.table),
    )
    path = Path(folder) / FILE
    write_text(path, page)
    return path


def _chart(table: pd.DataFrame) -> Markup | None:
    """Yield against speed, one labelled point a generator."""
    rows = [r for r in table.to_dict("records") if not pd.isna(r.get("samples_per_second"))]
    if not rows:
        return None
    speeds, scores = [float(r["samples_per_second"]) for r in rows], [float(r["score"]) for r in rows]
    x, y = x_scale(*padded(0.0, max(speeds), 0.15)), y_scale(*padded(0.0, max(*scores, 0.05), 0.1))
    points = Markup("").join(
        Markup(
            '<circle class="front" cx="{0:.1f}" cy="{1:.1f}" r="5"/><text x="{2:.1f}" y="{3:.1f}">{4}</text>'
        ).format(x(speed), y(score), x(speed) + 8, y(score) + 4, row["generator"])
        for row, speed, score in zip(rows, speeds, scores, strict=True)
    )
    body = frame(x, y, "Samples a second", "Yield of new crystals near the hull") + points
    return plot(body, f"Yield against speed for {len(rows)} generators")


def _written(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if name in SHARES:
        return f"{value:.1%}"
    if isinstance(value, str):
        return value
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
