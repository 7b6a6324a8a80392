"""Still drawings of a cell as inline SVG: shown before, and without, the 3-D view; they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from matgen.report.crystal import DrawnCell, element_style

if TYPE_CHECKING:
    from collections.abc import Iterable

MARGIN = 1.0
"""Å of empty space around the drawing."""
BOND_WIDTH = 0.17
"""Å."""


def poster(cell: DrawnCell, label: str) -> Markup:
    """An orthographic drawing of one cell, far things first.

    Args:
        cell: What to draw.
        label: Text for readers who do not see the drawing.

    Returns:
        An ``<svg>`` element. Its spheres use the gradients of :func:`gradients`, which the page holds once.
    """
    pieces = [*_edges(cell), *_sticks(cell), *_spheres(cell)]
    pieces.sort(key=lambda piece: piece[0])
    points = np.array([position for _, position in cell.atoms()] + [p for edge in cell.edges() for p in edge])
    low, high = points[:, :2].min(axis=0) - MARGIN, points[:, :2].max(axis=0) + MARGIN
    width, height = high - low
    box = f"{low[0]:.2f} {-high[1]:.2f} {width:.2f} {height:.2f}"
    body = Markup("").join(markup for _, markup in pieces)
    return Markup('<svg class="poster" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(box, label, body)


def gradients(symbols: Iterable[str]) -> Markup:
    """The radial gradients of all elements on the page, in one hidden ``<svg>``."""
    stops = Markup("").join(_gradient(symbol) for symbol in sorted(set(symbols)))
    return Markup('<svg class="gradients" width="0" height="0" aria-hidden="true"><defs>{}</defs></svg>').format(stops)


def _gradient(symbol: str) -> Markup:
    colour = element_style(symbol)["color"]
    return Markup(
        '<radialGradient id="ball-{}" cx="36%" cy="32%" r="72%"><stop offset="0" stop-color="{}"/>'
        '<stop offset="0.45" stop-color="{}"/><stop offset="1" stop-color="{}"/></radialGradient>'
    ).format(symbol, mix(colour, "#ffffff", 0.65), colour, mix(colour, "#000000", 0.42))


def mix(colour: str, other: str, share: float) -> str:
    """A hex colour with a share of another one mixed in."""
    first, second = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (colour, other))
    red, green, blue = np.rint((1 - share) * first + share * second).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _edges(cell: DrawnCell) -> list[tuple[float, Markup]]:
    line = Markup('<line class="edge" x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}"/>')
    return [(float(min(p[2], q[2])), line.format(p[0], -p[1], q[0], -q[1])) for p, q in cell.edges()]


def _sticks(cell: DrawnCell) -> list[tuple[float, Markup]]:
    line = Markup('<line x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}" stroke="{}" stroke-width="{}"/>')
    found = []
    for i, start, j, end in cell.sticks():
        middle = (start + end) / 2
        for index, from_ in ((i, start), (j, end)):
            colour = mix(element_style(cell.symbols[index])["color"], "#555555", 0.25)
            mark = line.format(from_[0], -from_[1], middle[0], -middle[1], colour, BOND_WIDTH)
            found.append((float((from_[2] + middle[2]) / 2), mark))
    return found


def _spheres(cell: DrawnCell) -> list[tuple[float, Markup]]:
    ball = Markup('<circle cx="{:.2f}" cy="{:.2f}" r="{}" fill="url(#ball-{})" class="ball"/>')
    found = []
    for index, position in cell.atoms():
        symbol = cell.symbols[index]
        mark = ball.format(position[0], -position[1], element_style(symbol)["radius"], symbol)
        found.append((float(position[2]), mark))
    return found
