"""The log of answers and the page that shows their scores over time."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.assistant.judging import METRICS, judge
from matgen.errors import DataError, MissingPackageError
from matgen.runtime import content_id, write_text

if TYPE_CHECKING:
    from matgen.assistant.document import Answer

log = logging.getLogger(__name__)

WINDOW = 20
"""Answers over which the running mean goes."""


def default_log() -> Path:
    """Where the grades of answers are kept when the user names no file: ``$MATGEN_HOME`` or ``.matgen``."""
    return Path(os.environ.get("MATGEN_HOME", ".matgen")) / "answers.jsonl"


def keep(question: str, answer: Answer, file: str | Path | None = None) -> None:
    """:func:`record` in the user's file, or else in the default one, for want of which no answer fails.

    Raises:
        DataError: The file that the user named cannot be written.
    """
    try:
        record(file or default_log(), question, answer)
    except OSError as error:
        if file is not None:
            raise DataError(
                f"the grades cannot be kept ({error}).", where=str(file), fix="Name another --log."
            ) from error
        log.warning("the grades of this answer could not be kept: %s", error)
    except MissingPackageError as error:
        log.warning("this answer was not graded: %s", error)


def record(file: str | Path, question: str, answer: Answer) -> dict[str, Any]:
    """Judge an answer and append its scores to a JSON-lines log; the question is kept, the passages are not."""
    context = " ".join(c.passage for c in answer.citations)
    grades = {} if answer.refused else judge(question, answer.text, context).grades
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "id": content_id(question, answer.text),
        "question": question,
        "backend": _worded_by(answer),
        "refused": answer.refused,
        "confidence": answer.confidence,
        "citations": len(answer.citations),
        **grades,
    }
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def _worded_by(answer: Answer) -> str:
    """The language model that worded an answer, or ``extractive`` where none did or its words did not stand."""
    steps = {step.get("step"): step for step in answer.trace}
    return str(steps["compose"]["backend"]) if "compose" in steps and "fall back" not in steps else "extractive"


def read_log(file: str | Path) -> list[dict[str, Any]]:
    """Rows of a log, oldest first; a torn last line (a killed writer) is left out."""
    path = Path(file)
    if not path.is_file():
        raise DataError("no such log.", where=str(path), fix="'matgen ask' and 'matgen chat' write one.")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for i, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if i < len(lines) - 1:
                raise DataError(f"line {i + 1} is no JSON.", where=str(path)) from error
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, share of refusals, and the mean of each metric over all and over the last :data:`WINDOW` answers."""
    means = {}
    for metric in METRICS:
        values = [row[metric] for row in rows if metric in row]
        if values:
            recent = values[-WINDOW:]
            means[metric] = {"mean": sum(values) / len(values), "recent": sum(recent) / len(recent), "n": len(values)}
    refused = sum(bool(row["refused"]) for row in rows)
    return {"answers": len(rows), "refused": refused / max(1, len(rows)), "metrics": means}


def plot(rows: list[dict[str, Any]], out: str | Path) -> None:
    """Write a self-contained HTML page with each metric's grades and running mean over time."""
    import pandas as pd
    import plotly.graph_objects as go

    table = pd.DataFrame(rows)
    figure = go.Figure()
    for metric in (m for m in METRICS if m in table):
        known = table[table[metric].notna()]
        smooth = known[metric].astype(float).rolling(WINDOW, min_periods=1).mean()
        figure.add_scatter(x=list(known["time"]), y=list(smooth), name=metric, mode="lines")
        points = {"mode": "markers", "name": f"{metric}, single", "visible": "legendonly"}
        figure.add_scatter(x=list(known["time"]), y=[int(v) for v in known[metric]], **points)
    title = f"Grades of answers, running mean over {WINDOW}"
    figure.update_layout(title=title, yaxis={"range": [0.8, 5.2], "title": "grade (1 to 5)"}, xaxis_title="time (UTC)")
    write_text(out, figure.to_html(include_plotlyjs=True))
