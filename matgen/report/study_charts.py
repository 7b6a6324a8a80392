"""Charts of a study as inline SVG: history, front, importances, parallel coordinates, map.

Shapes: n trials, m objectives.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
from markupsafe import Markup

from matgen.report.axes import HEIGHT, LEFT, RIGHT, WIDTH, body_of, frame, padded, plot, x_scale, y_scale
from matgen.report.poster import mix
from matgen.runtime import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.trial import FrozenTrial

GOOD, BAD = "#0b6e75", "#e6c9b4"
"""Colours of the best and the worst value."""

Projection = Literal["pca", "umap"]
NAMES: dict[Projection, str] = {"pca": "principal components", "umap": "UMAP"}

_NEIGHBOURS = 15
"""Of each candidate, for UMAP; fewer candidates are shown by principal components."""

TOP, BOTTOM = 30.0, HEIGHT - 40.0


def history(values: np.ndarray, best: np.ndarray, label: str) -> Markup | None:
    """Values (n,) in the order of the trials, and the best so far (n,) as a line; None for fewer than two."""
    if len(values) < 2:
        return None
    x = x_scale(*padded(1, len(values)))
    y = y_scale(*padded(*body_of(values)))
    points = Markup("").join(
        Markup('<g class="point"><circle cx="{:.1f}" cy="{:.1f}" r="3"/><title>{}</title></g>').format(
            x(i), y.clipped(v), f"evaluation {i}: {v:.4g}"
        )
        for i, v in enumerate(values.tolist(), start=1)
    )
    steps = [(x(i), y.clipped(v)) for i, v in enumerate(best.tolist(), start=1) if np.isfinite(v)]
    return plot(frame(x, y, "Evaluation", label) + points + _line(steps), f"{label} by evaluation, and the best so far")


def growth(values: np.ndarray) -> Markup | None:
    """Hypervolume (n,) after each feasible evaluation; None for fewer than two."""
    if len(values) < 2:
        return None
    x, y = x_scale(*padded(1, len(values))), y_scale(*padded(0.0, float(values.max())))
    steps = [(x(i), y(v)) for i, v in enumerate(values.tolist(), start=1)]
    return plot(frame(x, y, "Feasible evaluation", "Hypervolume") + _line(steps), "Hypervolume by evaluation")


def pareto(values: np.ndarray, on_front: Sequence[bool], names: Sequence[str], labels: Sequence[str]) -> Markup | None:
    """The first two objectives (n, 2) against each other; points on the front stand out.

    Args:
        values: (n, m) with m of at least 2.
        on_front: (n,).
        names: (n,) what each candidate is called.
        labels: Of the objectives.
    """
    if len(values) < 2 or values.shape[1] < 2:
        return None
    x, y = x_scale(*padded(*body_of(values[:, 0]))), y_scale(*padded(*body_of(values[:, 1])))
    order = np.argsort(np.asarray(on_front, dtype=int), kind="stable")
    points = Markup("").join(
        Markup('<g class="point{}"><circle cx="{:.1f}" cy="{:.1f}" r="4.5"/><title>{}</title></g>').format(
            " front" if on_front[i] else "", x.clipped(values[i, 0]), y.clipped(values[i, 1]),
            f"{names[i]}: {values[i, 0]:.4g}, {values[i, 1]:.4g}",
        )
        for i in order.tolist()
    )  # fmt: skip
    return plot(frame(x, y, labels[0], labels[1]) + points, f"{labels[1]} against {labels[0]}")


def importances(shares: Mapping[str, float]) -> Markup | None:
    """A bar for each parameter, most important first; None where there is none."""
    if not shares:
        return None
    rows = sorted(shares.items(), key=lambda item: -item[1])[:14]
    height, widest = 26.0, max(rows[0][1], 1e-9)
    bars = [
        Markup(
            '<text class="tick" x="150" y="{:.1f}" text-anchor="end">{}</text>'
            '<rect class="bar-kept" x="158" y="{:.1f}" width="{:.1f}" height="16"/>'
            '<text class="tick" x="{:.1f}" y="{:.1f}">{}</text>'
        ).format(y + 13, name[:22], y, 290 * share / widest, 164 + 290 * share / widest, y + 13, f"{share:.2f}")
        for y, (name, share) in zip(np.arange(len(rows)) * height + 10, rows, strict=True)
    ]
    return plot(Markup("").join(bars), "Importance of the parameters", len(rows) * height + 20)


def parallel(trials: Sequence[FrozenTrial], losses: np.ndarray, label: str) -> Markup | None:
    """One line a trial over an axis for each parameter and one for the objective, coloured by the loss (n,)."""
    names = sorted({name for t in trials for name in t.params})[:12]
    if len(trials) < 2 or not names:
        return None
    columns = [_positions([t.params.get(name) for t in trials]) for name in names]
    columns.append(_positions(losses.tolist()))
    across = np.linspace(LEFT, WIDTH - RIGHT, len(columns))
    colours = _colours(losses)
    lines = [
        Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.1" opacity="0.75"/>').format(
            " ".join(f"{x:.1f},{BOTTOM - c[i] * (BOTTOM - TOP):.1f}" for x, c in zip(across, columns, strict=True)),
            colours[i],
        )
        for i in np.argsort(-losses, kind="stable").tolist()
    ]
    axes = [
        Markup(
            '<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
            '<text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4}</text>'
        ).format(x, TOP, BOTTOM, BOTTOM + (16 if k % 2 else 30), name[:12])
        for k, (x, name) in enumerate(zip(across.tolist(), [*names, label], strict=True))
    ]
    return plot(Markup("").join([*axes, *lines]), "Parallel coordinates of the parameters")


def landscape(
    points: np.ndarray, losses: np.ndarray, names: Sequence[str], projection: Projection = "pca"
) -> Markup | None:
    """Candidates on a plane where like ones lie together, coloured by the loss (n,); None for too few.

    Args:
        points: (n, D) description of the candidates.
        losses: (n,) small is good.
        names: (n,) what each candidate is called.
        projection: Principal components, or UMAP (McInnes et al., arXiv:1802.03426).

    Raises:
        MissingPackageError: UMAP is not installed.
    """
    if len(points) < 3:
        return None
    spread = points.std(axis=0)
    scaled = (points - points.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]
    if min(scaled.shape) < 2:
        return None
    flat, labels = _flattened(scaled, projection)
    x, y = x_scale(*padded(*_ends(flat[:, 0]))), y_scale(*padded(*_ends(flat[:, 1])))
    colours = _colours(losses)
    marks = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="5" fill="{}"><title>{}</title></circle>').format(
            x(flat[i, 0]), y(flat[i, 1]), colours[i], names[i]
        )
        for i in np.argsort(-losses, kind="stable").tolist()
    )
    return plot(frame(x, y, *labels) + marks, f"Map of the candidates by {NAMES[projection]}")


def _flattened(points: np.ndarray, projection: Projection) -> tuple[np.ndarray, tuple[str, str]]:
    """(n, 2) places on the map, and the labels of its axes."""
    if projection == "umap" and len(points) > _NEIGHBOURS:
        module = require("umap", "umap")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a fixed seed means one thread
            reducer = module.UMAP(n_components=2, n_neighbors=_NEIGHBOURS, random_state=0, n_jobs=1)
            return np.asarray(reducer.fit_transform(points), dtype=float), ("UMAP 1", "UMAP 2")
    from sklearn.decomposition import PCA

    pca = PCA(2, random_state=0)
    flat = pca.fit_transform(points)
    first, second = (f"Component {k} ({share:.0%})" for k, share in enumerate(pca.explained_variance_ratio_, start=1))
    return flat, (first, second)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _line(steps: Sequence[tuple[float, float]]) -> Markup:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)
    return Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>').format(path, GOOD)


def _positions(values: Sequence[object]) -> np.ndarray:
    """(n,) from 0 to 1: numbers by size, choices by name; missing ones in the middle."""
    numbers = [v if isinstance(v, int | float) else None for v in values]
    if all(n is None for n in numbers):
        known = sorted({str(v) for v in values if v is not None})
        numbers = [known.index(str(v)) if v is not None else None for v in values]
    filled = np.array([np.nan if n is None else float(n) for n in numbers])
    low, high = np.nanmin(filled), np.nanmax(filled)
    return np.nan_to_num((filled - low) / (high - low) if high > low else filled * 0 + 0.5, nan=0.5)


def _colours(losses: np.ndarray) -> list[str]:
    """A colour by rank, so that a few wild values do not hide the differences among the others."""
    place = np.empty(len(losses))
    place[np.argsort(losses, kind="stable")] = np.linspace(0, 1, len(losses))
    return [mix(GOOD, BAD, float(share)) for share in place]
