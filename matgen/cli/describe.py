"""``matgen describe``: all that is known of one part, model, property or workflow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from matgen.cli.console import Json, emit


def verb(
    name: Annotated[str, typer.Argument(help="A name that 'matgen list' shows.")],
    as_json: Json = False,
) -> None:
    """Describe a part: what it does, its settings with defaults, its roles, card or schema."""
    from matgen.workflow.catalogue import describe

    found = describe(name)
    emit(found, as_json, text="\n\n".join(_text(name, kind, details) for kind, details in found.items()))


def _text(name: str, kind: str, details: dict[str, Any]) -> str:
    shown = [f"[bold]{name}[/] ({kind})"]
    for key, value in details.items():
        if key == "schema" or value in (None, "", {}, []):
            continue
        if key in {"text", "defaults"}:
            shown.append(_plain(value))
        elif isinstance(value, dict):
            shown.append("\n".join([f"[bold]{key}[/]", *(f"  {k}: {_plain(v)}" for k, v in value.items())]))
        else:
            shown.append(f"[bold]{key}[/]: {_plain(value)}")
    return "\n\n".join(shown)


def _plain(value: Any) -> str:
    from rich.markup import escape

    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))
