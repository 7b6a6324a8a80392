"""``matgen judge``: grades of answers, 1 to 5."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit
from matgen.errors import DataError, MatgenError


def verb(
    answers: Annotated[
        Path,
        typer.Argument(help="JSON lines with question, answer and, where known, context, ground_truth and labels."),
    ],
    config: Annotated[Path | None, typer.Option(help="YAML file that names a language model to judge as well.")] = None,
    as_json: Json = False,
) -> None:
    """Grade answers for groundedness, relevance, coherence, fluency and similarity.

    Where a language model judges too, or lines carry labels (grades 1 to 5 by metric), it says how far they agree.
    """
    from matgen.assistant.backends import open_backend, read_config
    from matgen.assistant.judging import agreements, judge
    from matgen.assistant.model_judge import judge_with_model

    backend = open_backend(read_config(config))
    rows: list[dict[str, Any]] = []
    for row in _read(answers):
        found = judge(row["question"], row["answer"], row.get("context", ""), row.get("ground_truth", ""))
        rows.append({"grades": found.grades, "scores": {k: round(v, 4) for k, v in found.scores.items()}})
        if backend is not None:
            try:
                rows[-1]["model_grades"] = judge_with_model(backend, row)
            except MatgenError as error:  # a small model grades some answers and not others
                rows[-1]["model_problem"] = str(error)
        if "labels" in row:
            rows[-1]["labels"] = _grades(row["labels"], answers)
    problems = [row["model_problem"] for row in rows if "model_problem" in row]
    if rows and len(problems) == len(rows):
        raise MatgenError(f"the language model graded no answer; at the last one: {problems[-1]}", where=str(config))
    named = {"deterministic": "grades", "model": "model_grades", "labels": "labels"}
    compared = [("deterministic", "model"), ("deterministic", "labels"), ("model", "labels")]
    found_by = {f"{a} and {b}": agreements(rows, named[a], named[b]) for a, b in compared}
    agreed = {name: by for name, by in found_by.items() if by}
    lines = [str(row["grades"]) for row in rows]
    lines += [
        f"no grades of the model for answer {n}: {row['model_problem']}"
        for n, row in enumerate(rows, start=1)
        if "model_problem" in row
    ]
    lines += [f"{name}, {m}: {_spelled(values)}" for name, by in agreed.items() for m, values in by.items()]
    emit({"answers": rows, "agreement": agreed}, as_json, "\n".join(lines).replace("[", r"\["))


def _spelled(values: dict[str, float]) -> str:
    equal, near = f"{100 * values['equal']:.0f} % equal", f"{100 * values['within one']:.0f} % within one grade"
    return f"kappa {values['kappa']:.2f}, {equal}, {near} (n = {values['n']:.0f})"


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if all({"question", "answer"} <= set(row) for row in rows):
            return rows
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"unreadable ({type(error).__name__}).", where=str(path), fix="Give JSON lines.") from error
    raise DataError("a line lacks 'question' or 'answer'.", where=str(path))


def _grades(labels: Any, path: Path) -> dict[str, int]:
    from matgen.assistant.judging import METRICS

    if isinstance(labels, dict) and all(k in METRICS and v in {1, 2, 3, 4, 5} for k, v in labels.items()):
        return {name: int(grade) for name, grade in labels.items()}
    fix = f"Write grades from 1 to 5 by metric: {', '.join(METRICS)}."
    raise DataError(f"{labels!r} are no labels.", where=str(path), fix=fix)
