"""Plots of the candidates as inline SVG: stability against a property, a histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from matgen.report.axes import body_of, frame, padded, plot, x_scale, y_scale
from matgen.report.fields import Field, field_of, number, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from matgen.report.axes import Scale

HULL = "e_above_hull"
BINS = 24
NEAR = 0.2
"""eV/atom; energies so near to each other always fit on one axis."""


def axis_label(field: Field) -> str:
    """Heading and unit of an axis."""
    return f"{field.label} ({field.unit})" if field.unit else field.label


def scatter(table: pd.DataFrame, name: str, links: Mapping[str, str]) -> Markup | None:
    """Energy above hull against another column, with error bars; the first Pareto front stands out.

    Args:
        table: Candidates.
        name: The column on the vertical axis; its ``_std`` gives error bars.
        links: Address of the card of a candidate, by id.

    Returns:
        The plot, or None where fewer than two candidates have both values.
    """
    rows = [r for r in table.to_dict("records") if None not in (number(r.get(HULL)), number(r.get(name)))]
    if len(rows) < 2:
        return None
    spreads = [number(r.get(f"{name}_std")) or 0.0 for r in rows]
    ends = [float(r[name]) + sign * s for r, s in zip(rows, spreads, strict=True) for sign in (-1, 1)]
    x = x_scale(*padded(*body_of([float(r[HULL]) for r in rows], NEAR)))
    y = y_scale(*padded(min(ends), max(ends)))
    vertical = field_of(name)
    rows.sort(key=is_first_front)
    points = Markup("").join(_point(row, x, y, vertical, links) for row in rows)
    body = frame(x, y, axis_label(field_of(HULL)), axis_label(vertical)) + points
    return plot(body, f"{vertical.label} against energy above hull for {len(rows)} candidates")


def is_first_front(row: Mapping[Any, Any]) -> bool:
    """Whether a candidate lies on the first Pareto front."""
    return number(row.get("pareto_front")) == 1


def _point(row: Mapping[Any, Any], x: Scale, y: Scale, vertical: Field, links: Mapping[str, str]) -> Markup:
    energy, value = float(row[HULL]), float(row[vertical.name])
    spread = number(row.get(f"{vertical.name}_std")) or 0.0
    mark = Markup(
        '<line class="error" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
        '<circle cx="{0:.1f}" cy="{3:.1f}" r="5"/><title>{4}</title>'
    ).format(
        x.clipped(energy),
        y(value - spread),
        y(value + spread),
        y(value),
        f"{row.get('formula')}: {_text(field_of(HULL), row)}; {_text(vertical, row)}",
    )
    beyond = x.clipped(energy) != x(energy)
    kind = f"point{' front' if is_first_front(row) else ''}{' beyond' if beyond else ''}"
    if address := links.get(str(row.get("id"))):
        return Markup('<a href="{}" class="{}">{}</a>').format(address, kind, mark)
    return Markup('<g class="{}">{}</g>').format(kind, mark)


def _text(field: Field, row: Mapping[Any, Any]) -> str:
    return f"{field.label} {written(field, row)} {field.unit}".strip()


def histogram(kept: pd.DataFrame, rejected: pd.DataFrame, threshold: float) -> Markup | None:
    """Energies above hull of the candidates and, stacked on them, of rejected structures that have one.

    Values far out count in the first or the last bar.

    Returns:
        The plot, or None where no candidate has an energy above hull.
    """
    sets = [_values(kept, HULL), _values(rejected, HULL)]
    if len(sets[0]) < 2:
        return None
    low, high = body_of(np.concatenate(sets), NEAR)
    edges = np.linspace(min(0.0, low), max(high, 2 * threshold), BINS + 1)
    counts = [np.histogram(values.clip(edges[0], edges[-1]), edges)[0] for values in sets]
    x, y = x_scale(edges[0], edges[-1]), y_scale(0.0, float((counts[0] + counts[1]).max()) * 1.08)
    bars = _bars(edges, counts[0], 0 * counts[0], x, y, "bar-kept")
    bars += _bars(edges, counts[1], counts[0], x, y, "bar-left")
    line = Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
        x(threshold), y.start, y.end
    )
    body = frame(x, y, axis_label(field_of(HULL)), "Structures") + bars + line
    return plot(body, "Histogram of the energy above hull of candidates and rejected structures")


def _values(table: pd.DataFrame, name: str) -> np.ndarray:
    return np.array([v for v in map(number, table.get(name, ())) if v is not None], dtype=float)


def _bars(edges: np.ndarray, counts: np.ndarray, below: np.ndarray, x: Scale, y: Scale, kind: str) -> Markup:
    rect = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    return Markup("").join(
        rect.format(
            kind,
            x(low) + 0.7,
            y(base + n),
            x(high) - x(low) - 1.4,
            y(base) - y(base + n),
            f"{n} from {low:.3f} to {high:.3f} eV/atom",
        )
        for low, high, n, base in zip(edges[:-1], edges[1:], counts, below, strict=True)
        if n
    )
