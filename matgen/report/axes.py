"""Linear axes for inline SVG plots: scales, round tick values, frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 520.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 16.0, 14.0, 52.0


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] to pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clipped(self, value: float) -> float:
        """Pixel of a value, or the nearer end of the axis for one that lies beyond it."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the range, about as many as asked."""
        raw = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(raw))
        step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda step: abs(math.log(step / raw)))
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """Ends of an axis from low to high with some air; a single value gets a range of its own."""
    air = (high - low) * share or max(abs(low) * 0.1, 0.05)
    return low - air, high + air


def body_of(values: Sequence[float] | np.ndarray, least: float = 0.0) -> tuple[float, float]:
    """Lowest and highest value, leaving out those more than three interquartile ranges beyond the quartiles.

    So that a few wild values (Tukey's "far out") do not squeeze all others into a corner.

    Args:
        values: At least one.
        least: No value within this distance of the quartiles is left out.
    """
    first, third = np.quantile(values, (0.25, 0.75))
    reach = max(3 * (third - first), least)
    inside = [v for v in values if first - reach <= v <= third + reach]
    return float(min(inside)), float(max(inside))


def x_scale(low: float, high: float) -> Scale:
    """The horizontal scale of a standard plot."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def y_scale(low: float, high: float) -> Scale:
    """The vertical scale of a standard plot, upwards."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def frame(x: Scale, y: Scale, x_label: str, y_label: str) -> Markup:
    """Grid lines, tick labels and axis labels."""
    parts = [_x_tick(x, y, value) for value in x.ticks(6)] + [_y_tick(x, y, value) for value in y.ticks(5)]
    parts.append(
        Markup('<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
            (x.start + x.end) / 2, HEIGHT - 10, x_label
        )
    )
    middle = (y.start + y.end) / 2
    parts.append(
        Markup('<text class="axis" transform="translate(15 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle, y_label
        )
    )
    return Markup("").join(parts)


def plot(body: Markup, label: str, height: float = HEIGHT) -> Markup:
    """The ``<svg>`` of a plot with a text for readers who do not see it."""
    return Markup('<svg class="plot" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, body
    )


def tick_text(value: float) -> str:
    """A tick value without needless digits, with a true minus sign."""
    return f"{value:.6g}".replace("-", "−")


def _x_tick(x: Scale, y: Scale, value: float) -> Markup:
    return Markup(
        '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
        '<text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4}</text>'
    ).format(x(value), y.start, y.end, y.start + 18, tick_text(value))


def _y_tick(x: Scale, y: Scale, value: float) -> Markup:
    return Markup(
        '<line class="grid" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>'
        '<text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5}</text>'
    ).format(x.start, x.end, y(value), x.start - 7, y(value) + 4.5, tick_text(value))
