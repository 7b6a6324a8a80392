"""Errors that a user may see. Each says what is wrong, where, and what to do about it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class MatgenError(Exception):
    """Base of every error that matgen raises on purpose; the command line prints it without a traceback.

    Args:
        what: What is wrong, in one sentence.
        where: The file, row, configuration key or structure that it concerns.
        fix: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self._text())

    def _text(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.fix)


class ConfigError(MatgenError):
    """A configuration, argument or request that cannot be honoured."""

    exit_code = 2


class DataError(MatgenError):
    """Input data that had to be refused as a whole."""

    exit_code = 3


class MissingPackageError(MatgenError):
    """An optional package (or weights file) that this step needs is not installed."""

    exit_code = 4


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known names, as a sentence ready for ``fix=``."""
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}?"
    return f"Known names: {', '.join(known) or 'none'}."


def _rebuild(kind: type[MatgenError], what: str, where: str | None, fix: str | None) -> MatgenError:
    # Exceptions cross process borders; keyword-only arguments need a rebuilding function.
    return kind(what, where=where, fix=fix)
