"""The page of an assessment: comparison, parity, calibration, retention, regions, learning curve, importances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from matgen.data.property import find_property
from matgen.report.axes import body_of, frame, padded, plot, x_scale, y_scale
from matgen.report.study_charts import importances as bars
from matgen.runtime import write_text
from matgen.surrogates.assessment import KEPT, LEVELS, calibration, kept_errors

if TYPE_CHECKING:
    import os

    from matgen.report.axes import Scale
    from matgen.surrogates.assessment import HeldOut

FILE = "validation.html"
MOST_POINTS = 2000
HEADS = {
    "model": "Model",
    "mae": "MAE",
    "mae_low": "from",
    "mae_high": "to (95 %)",
    "rmse": "RMSE",
    "coverage_90": "90 % interval holds",
    "in_domain": "In domain",
    "area": "Mean kept error",
    "area_spread": "by plain spread",
    "seconds": "Seconds",
}


def write_assessment(
    models: list[HeldOut], tables: dict[str, pd.DataFrame], facts: dict[str, Any], folder: str | os.PathLike[str]
) -> Path:
    """Write ``validation.html`` into a folder: one file that opens without network.

    Args:
        models: Held-out predictions, the surrogate in question first.
        tables: ``comparison``, ``regions``, and, where they were asked for, ``learning`` and ``importances``.
        facts: ``property``, ``rows``, ``split``, ``folds``, ``data``.
        folder: Where the page goes.

    Returns:
        Its path.
    """
    environment = Environment(
        loader=PackageLoader("matgen.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = (Path(__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    comparison = tables["comparison"].reindex(columns=[*HEADS])
    page = environment.get_template("validation.html").render(
        facts=facts,
        label=find_property(facts["property"]).axis,
        style=Markup(style),  # noqa: S704 - our own style sheet
        heads=list(HEADS.values()),
        rows=[[_written(value) for value in row] for row in comparison.itertuples(index=False)],
        regions=[[_written(value) for value in row] for row in tables["regions"].itertuples(index=False)],
        charts=_charts(models, tables, find_property(facts["property"]).axis),
    )
    path = Path(folder) / FILE
    write_text(path, page)
    return path


def _charts(models: list[HeldOut], tables: dict[str, pd.DataFrame], label: str) -> dict[str, Markup]:
    """The charts that there are, by heading."""
    first = models[0]
    certain = [held for held in models if np.isfinite(held.std).all()]
    found = {f"Parity of {first.name}": parity(first, label)}
    if certain:
        found["Calibration"] = calibration_chart(certain)
        found["Error of what is kept"] = retention_chart(certain, label)
    if "learning" in tables and len(tables["learning"]) > 1:
        found[f"Learning curve of {first.name}"] = learning_chart(tables["learning"], label)
    if "importances" in tables:
        found |= _importances(tables["importances"])
    return found


def _importances(table: pd.DataFrame) -> dict[str, Markup]:
    """A bar for each group of features, or for each element of a graph network."""
    column, heading = "rise_of_mae", "What it looks at: rise of the error when shuffled"
    if column not in table:
        column, heading = "size", "What it looks at: mean size of the contribution of an element's atoms"
    sizes = dict(zip(table["features"], table[column], strict=True))
    chart = bars({name: max(size, 0.0) for name, size in sizes.items()})
    return {heading: chart} if chart else {}


def parity(held: HeldOut, label: str) -> Markup:
    """Held-out predictions against true values; at most :data:`MOST_POINTS`, with the diagonal."""
    chosen = np.random.default_rng(0).permutation(len(held.values))[:MOST_POINTS]
    ends = padded(*body_of(np.concatenate([held.values, held.mean])))
    x, y = x_scale(*ends), y_scale(*ends)
    dots = Markup("").join(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2" fill-opacity="0.45"/>').format(
            "inside" if held.in_domain[i] else "outside", x.clipped(held.values[i]), y.clipped(held.mean[i])
        )
        for i in chosen
    )
    diagonal = _curve([(x(end), y(end)) for end in ends])
    body = frame(x, y, f"{label}, true", f"{label}, predicted") + diagonal + dots
    return plot(body, f"Predicted against true values of {len(chosen)} materials")


def calibration_chart(models: list[HeldOut]) -> Markup:
    """Share of values that intervals hold against the share that they should hold."""
    x, y = x_scale(0.0, 1.0), y_scale(0.0, 1.0)
    body = frame(x, y, "Share that an interval should hold", "Share that it holds") + _curve(
        [(x(0), y(0)), (x(1), y(1))]
    )
    for row, held in enumerate(models):
        body += _named(x, y, list(LEVELS), calibration(held), held.name, row)
    return plot(body, "Observed against expected coverage")


def retention_chart(models: list[HeldOut], label: str) -> Markup:
    """Mean error of what is kept when the most uncertain are dropped."""
    curves = {held.name: kept_errors(held.errors, held.std) for held in models}
    x, y = x_scale(0.0, 1.0), y_scale(*padded(0.0, max(map(max, curves.values()))))
    body = frame(x, y, "Share of the most uncertain dropped", f"MAE, {label}")
    for row, (name, errors) in enumerate(curves.items()):
        body += _named(x, y, [1 - share for share in KEPT], errors, name, row)
    return plot(body, "Error against the share of the most uncertain that is dropped")


def learning_chart(table: pd.DataFrame, label: str) -> Markup:
    """Error against the number of training rows, on a logarithmic axis."""
    sizes = np.log10(table["rows"].to_numpy(dtype=float))
    x, y = x_scale(*padded(sizes.min(), sizes.max())), y_scale(*padded(0.0, float(table["mae"].max())))
    body = frame(x, y, "log10 of training rows", f"MAE, {label}")
    return plot(body + _named(x, y, sizes.tolist(), table["mae"].tolist(), "", 0), "Error against training rows")


def _named(x: Scale, y: Scale, across: list[float], up: list[float], name: str, row: int) -> Markup:
    """A curve with marks, and its name in a row of the legend."""
    places = [(x.clipped(a), y.clipped(b)) for a, b in zip(across, up, strict=True)]
    dots = Markup("").join(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3"/>').format(*place) for place in places)
    text = Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(x.start + 10, y.end + 18 + 16 * row, name)
    return Markup('<g class="curve">{}{}{}</g>').format(_curve(places), dots, text)


def _curve(places: list[tuple[float, float]]) -> Markup:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    return Markup('<polyline points="{}" fill="none" stroke="currentColor"/>').format(points)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "–"
    return f"{value:.4g}"
