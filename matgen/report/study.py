"""The page of a study: one self-contained HTML file without scripts."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from optuna.study import StudyDirection
from optuna.trial import TrialState

from matgen.features.composition import composition_features
from matgen.optimize.claims import DUPLICATE, REASON
from matgen.optimize.results import (
    STRUCTURE,
    best_so_far,
    candidates_of,
    finished,
    front,
    hypervolumes,
    is_feasible,
    losses,
)
from matgen.report import study_charts as charts
from matgen.report.crystal import draw_cell
from matgen.report.page import ASSETS, STYLE
from matgen.report.poster import gradients, poster
from matgen.runtime import write_text

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


COORDINATE = re.compile(r"z\d+")
"""Names of the parameters of a latent space."""


def study_page(study: optuna.Study, out: str | Path, top: int = 20, projection: charts.Projection = "pca") -> Path:
    """Write the page of a study: history, Pareto front with structures, importances, parallel coordinates, maps.

    Args:
        study: Any study of matgen; without structures the drawings and the map are left out.
        out: HTML file.
        top: Candidates that are drawn.
        projection: How the maps are made flat: ``pca`` or ``umap``.

    Returns:
        The path of the file.
    """
    environment = Environment(
        loader=PackageLoader("matgen.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    path = Path(out)
    write_text(path, environment.get_template("study.html").render(**_context(study, top, projection)))
    return path


def _context(study: optuna.Study, top: int, projection: charts.Projection) -> dict[str, Any]:
    done = finished(study)
    labels = study.metric_names or [f"objective {i + 1}" for i in range(len(study.directions))]
    drawn = _drawn(study, labels, top)
    return {
        "name": study.study_name,
        "labels": labels,
        "counts": _counts(study),
        "charts": [
            chart
            for chart in (*_charts(study, done, labels), *_maps(study, done, labels[0], projection))
            if chart[1] is not None
        ],
        "drawn": drawn,
        "gradients": gradients({symbol for item in drawn for symbol in item["symbols"]}),
        "failures": _failures(study),
        "style": Markup((ASSETS / STYLE).read_text(encoding="utf-8")),  # noqa: S704  our own file
        "version": metadata.version("matgen"),
        "made": datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _charts(study: optuna.Study, done: list[FrozenTrial], labels: list[str]) -> list[tuple[str, Markup | None]]:
    values = np.array([t.values for t in done], dtype=float).reshape(len(done), len(labels))
    signed, best = losses(study, done), best_so_far(study)
    names = [_called(t) for t in done]
    made = [
        (f"{label}: every evaluation, and the best that keeps to the limits so far", charts.history(v, b, label))
        for label, v, b in zip(labels, values.T, best.T, strict=True)
    ]
    if len(labels) > 1:
        first = {t.number for t in front(study)}
        shown = charts.pareto(values, [t.number in first for t in done], names, labels)
        made += [("Objectives against each other; the Pareto front stands out", shown)]
        made += [("Hypervolume dominated so far", charts.growth(hypervolumes(study)))]
    for i, label in enumerate(labels):
        made.append(
            (f"Importance of the parameters for {label} (PED-ANOVA)", charts.importances(_importances(study, i)))
        )
    if len(done):
        made.append(("Parameters of each trial, dark where good", charts.parallel(done, signed[:, 0], labels[0])))
    return made


def _maps(
    study: optuna.Study, done: list[FrozenTrial], label: str, projection: charts.Projection
) -> list[tuple[str, Markup | None]]:
    """Candidates by composition, and by their coordinates where the search moved in a latent space."""
    signed, names = losses(study, done), [_called(t) for t in done]
    kind, made = charts.NAMES[projection], []
    if done and all(t.params and all(COORDINATE.fullmatch(name) for name in t.params) for t in done):
        axes = sorted(done[0].params)
        points = np.array([[float(t.params.get(axis, np.nan)) for axis in axes] for t in done])
        whole = np.isfinite(points).all(axis=1)
        shown = [name for name, keep in zip(names, whole, strict=True) if keep]
        caption = f"Latent coordinates by {kind}, dark where {label} is good"
        made.append((caption, charts.landscape(points[whole], signed[whole, 0], shown, projection)))
    described = [i for i, t in enumerate(done) if STRUCTURE in t.user_attrs]
    if len(described) > 2:
        points = composition_features([_formula(done[i]) for i in described])
        chart = charts.landscape(points, signed[described, 0], [names[i] for i in described], projection)
        made.append((f"Compositions by {kind}, dark where {label} is good", chart))
    return made


def _importances(study: optuna.Study, objective: int) -> dict[str, float]:
    """Shares of the variance by parameter; none where the trials cannot tell."""
    from optuna.importance import get_param_importances

    done = finished(study)
    if len(done) < 4 or len({t.values[objective] for t in done}) < 2 or not all(t.params for t in done):
        return {}
    sign = -1.0 if study.directions[objective] == StudyDirection.MAXIMIZE else 1.0  # small values are the good ones
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study, target=lambda trial: sign * trial.values[objective]))


def _counts(study: optuna.Study) -> list[tuple[str, int]]:
    trials = study.get_trials(deepcopy=False)
    done = finished(study)
    return [
        ("evaluated", len(done)),
        ("keep to all limits", sum(map(is_feasible, done))),
        ("on the Pareto front", len(front(study))),
        ("failed, with a reason", sum(t.state == TrialState.FAIL and REASON in t.user_attrs for t in trials)),
        ("not promoted or infeasible", sum(t.state == TrialState.PRUNED for t in trials)),
        ("repetitions, not evaluated", sum(DUPLICATE in t.user_attrs for t in trials)),
    ]


def _drawn(study: optuna.Study, labels: list[str], top: int) -> list[dict[str, Any]]:
    found = candidates_of(study)
    rows = found.table.head(top).to_dict("records")
    return [
        {
            "name": structure.composition.reduced_formula,
            "trial": row["id"],
            "values": [(label, f"{row[label]:.4g}") for label in labels],
            "front": row["pareto_front"] == 1 and bool(row["feasible"]),
            "feasible": bool(row["feasible"]),
            "drawing": poster(draw_cell(structure), structure.composition.reduced_formula),
            "symbols": {site.specie.symbol for site in structure},
        }
        for row, structure in zip(rows, found.structures, strict=False)
    ]


def _failures(study: optuna.Study) -> list[tuple[str, str, str]]:
    """Number, stage and reason of the last trials without a value."""
    left = [t for t in study.get_trials(deepcopy=False) if REASON in t.user_attrs and DUPLICATE not in t.user_attrs]
    return [(str(t.number), str(t.user_attrs.get("stage", "")), str(t.user_attrs[REASON])) for t in left[-200:]]


def _called(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("facts", {}).get("formula", f"trial {trial.number}"))


def _formula(trial: FrozenTrial) -> Any:
    from collections import Counter

    from pymatgen.core import Composition, Element

    counts = Counter(int(z) for z in trial.user_attrs[STRUCTURE]["numbers"])
    return Composition({Element.from_Z(z): n for z, n in counts.items()})
