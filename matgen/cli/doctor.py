"""``matgen doctor``: what is installed, and how to get what is missing."""

from __future__ import annotations

from typing import Any

import typer

from matgen.cli.console import Json, emit
from matgen.errors import MissingPackageError


def verb(as_json: Json = False) -> None:
    """Examine the installation: packages, device, weights, extras."""
    from matgen.workflow.doctor import examine

    found = examine()
    emit(found, as_json, text=_text(found))
    if found["problems"]:
        raise typer.Exit(MissingPackageError.exit_code)


def _text(found: dict[str, Any]) -> str:
    lines = [f"{name:<16} {version}" for name, version in found["versions"].items()]
    gpus = f" ({', '.join(found['gpus'])})" if found["gpus"] else ""
    lines.append(f"{'device':<16} {found['device']}{gpus}, {found['cores']} cores, {found['threads']} torch threads")
    lines.append(f"{'room':<16} {found['memory_gib']} GiB memory, {found['free_disk_gib']} GiB free disk")
    lines += [f"{kind:<16} {', '.join(found[kind]) or 'none'}" for kind in ("models", "references")]
    for name, extra in found["extras"].items():
        state = f"missing {', '.join(extra['missing'])}; {extra['install']}" if extra["missing"] else "complete"
        lines.append(f"{'extra ' + name:<16} {state}")
    lines += [f"problem: {problem}" for problem in found["problems"]] or ["everything that matgen needs is here."]
    return "\n".join(line.replace("[", r"\[") for line in lines)
