"""``matgen judge``: grades of answers, 1 to 5."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit
from matgen.errors import DataError


def verb(
    answers: Annotated[
        Path, typer.Argument(help="JSON lines with question, answer and, where known, context and ground_truth.")
    ],
    config: Annotated[Path | None, typer.Option(help="YAML file that names a language model to judge as well.")] = None,
    as_json: Json = False,
) -> None:
    """Grade answers for groundedness, relevance, coherence, fluency and similarity."""
    from matgen.assistant.backends import open_backend, read_config
    from matgen.assistant.judging import agreement, judge
    from matgen.assistant.model_judge import judge_with_model

    backend = open_backend(read_config(config)) if config else None
    rows: list[dict[str, Any]] = []
    for row in _read(answers):
        found = judge(row["question"], row["answer"], row.get("context", ""), row.get("ground_truth", ""))
        rows.append({"grades": found.grades, "scores": {k: round(v, 4) for k, v in found.scores.items()}})
        if backend is not None:
            rows[-1]["model_grades"] = judge_with_model(backend, row)
    result: dict[str, Any] = {"answers": rows}
    if backend is not None:
        pairs = [(r["grades"][m], g) for r in rows for m, g in r["model_grades"].items() if m in r["grades"]]
        result["agreement"] = agreement([a for a, _ in pairs], [b for _, b in pairs])
    emit(result, as_json, "\n".join(str(row["grades"]) for row in rows))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if all({"question", "answer"} <= set(row) for row in rows):
            return rows
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"unreadable ({type(error).__name__}).", where=str(path), fix="Give JSON lines.") from error
    raise DataError("a line lacks 'question' or 'answer'.", where=str(path))
