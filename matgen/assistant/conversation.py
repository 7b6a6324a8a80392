"""A conversation: each line goes to the source that can answer it, or becomes a request to confirm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matgen.assistant.fulfilment import sample_command
from matgen.assistant.routing import route
from matgen.assistant.wishes import is_wish, parse_wish, spelled_out

if TYPE_CHECKING:
    from pathlib import Path

    from matgen.assistant.backends import Backend
    from matgen.assistant.document import Answer
    from matgen.assistant.recipes import Recipes
    from matgen.assistant.retrieval import Index
    from matgen.assistant.wishes import Wish


@dataclass(frozen=True)
class Reply:
    """What the assistant says to one line: an answer, or a wish that waits for the user's yes."""

    text: str
    answer: Answer | None = None
    wish: Wish | None = None

    @property
    def command(self) -> str:
        """The command that carries a confirmed wish out."""
        return sample_command(self.wish) if self.wish else ""


@dataclass
class Conversation:
    """Where lines go.

    Args:
        index: The literature.
        run: A run folder whose candidates may be asked about.
        backend: A language model that words answers, or None.
        recipes: Reported syntheses, or None.
    """

    index: Index
    run: Path | None = None
    backend: Backend | None = None
    recipes: Recipes | None = None

    def reply(self, line: str) -> Reply:
        """The reply to one line of the user."""
        if is_wish(line):
            wish = parse_wish(line)
            return Reply(f"I understood: {spelled_out(wish)}.", wish=wish)
        answer = route(line, self.index, run=self.run, recipes=self.recipes, backend=self.backend)
        return Reply(answer.text, answer)
