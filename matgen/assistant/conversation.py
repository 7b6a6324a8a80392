"""A conversation: each line goes to the literature, to the run's table, or becomes a request to confirm."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matgen.assistant.asking import ask
from matgen.assistant.records import ask_run, parse_query
from matgen.assistant.wishes import is_wish, parse_wish, spelled_out

if TYPE_CHECKING:
    from pathlib import Path

    from matgen.assistant.backends import Backend
    from matgen.assistant.document import Answer
    from matgen.assistant.retrieval import Index
    from matgen.data.request import Request


@dataclass(frozen=True)
class Reply:
    """What the assistant says to one line: an answer, or a request that waits for the user's yes."""

    text: str
    answer: Answer | None = None
    request: Request | None = None

    @property
    def command(self) -> str:
        """The command that carries a confirmed request out."""
        return sample_command(self.request) if self.request else ""


@dataclass
class Conversation:
    """Where lines go.

    Args:
        index: The literature.
        run: A run folder whose candidates may be asked about.
        backend: A language model that words answers, or None.
    """

    index: Index
    run: Path | None = None
    backend: Backend | None = None

    def reply(self, line: str) -> Reply:
        """The reply to one line of the user."""
        if is_wish(line):
            request = parse_wish(line)
            return Reply(f"I understood: {spelled_out(request)}.", request=request)
        if self.run is not None and (
            "candidate" in line.lower() or "reject" in line.lower() or not parse_query(line).empty
        ):
            answer = ask_run(line, self.run)
            if not answer.refused:
                return Reply(answer.text, answer)
        answer = ask(line, self.index, backend=self.backend)
        return Reply(answer.text, answer)


def sample_command(request: Request, model: str = "flow-mp20", out: str = "candidates.extxyz") -> str:
    """The command line of ``matgen sample`` for a request."""
    parts = ["matgen", "sample", model, "--out", out, "--n", str(request.n)]
    for name in ("formula", "chemical_system", "n_atoms", "space_group"):
        value = getattr(request, name)
        if value is not None:
            parts += [f"--{name.replace('_', '-')}", str(value)]
    for name, value in request.target.items():
        parts += ["--set", f"target.{name}={value:g}"]
    return shlex.join(parts)
