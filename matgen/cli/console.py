"""What all verbs share: results on stdout, everything else on stderr, one clear line for an error."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from matgen.errors import MatgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

stderr = Console(stderr=True)
stdout = Console()

Json = Annotated[bool, typer.Option("--json", help="Put a machine-readable result on stdout.")]


def emit(result: dict[str, Any], as_json: bool, text: str = "") -> None:
    """Put a result on stdout: as JSON, or as the text meant for people."""
    if as_json:
        sys.stdout.write(json.dumps(_finite(result), indent=2, default=str, allow_nan=False) + "\n")
    else:
        # Words are wrapped for a terminal only: a file or a pipe gets its lines, such as paths, whole.
        lines = text or "\n".join(f"{key}: {value}" for key, value in result.items())
        stdout.print(lines, soft_wrap=not sys.stdout.isatty())


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have (NaN and infinities)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def steps_shown(name: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Show how far a training is; yields a function to call after each step with (step, steps, losses)."""
    from matgen.execution import progress

    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None

        def show(step: int, steps: int, _: dict[str, float]) -> None:
            nonlocal advance
            if advance is None:  # only now is it known where an interrupted training goes on
                start = "" if step == 1 else f" from step {step}"
                advance = stack.enter_context(progress(name + start, steps - step + 1))
            advance(1)

        yield show


TRACEBACK = "MATGEN_TRACEBACK"
"""Environment variable that shows where an unexpected error arose."""


def guarded(app: Callable[[], None]) -> None:
    """Run the command line; an error becomes one line on stderr and its exit code.

    An error that nobody foresaw is called unexpected; its traceback is shown on request only.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # each request is in the audit log where it leaves the machine
    try:
        app()
    except MatgenError as error:
        stderr.print(f"[bold red]error:[/] {escape(str(error))}", markup=True, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        stderr.print("stopped; the same command goes on from here.")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        what = escape(" ".join(f"{type(error).__name__}: {error}".split())[:500])
        fix = f"Unless it comes from a file of your own, please report it. {TRACEBACK}=1 shows where it arose."
        stderr.print(f"[bold red]unexpected error:[/] {what} {fix}", highlight=False, soft_wrap=True)
        sys.exit(1)
