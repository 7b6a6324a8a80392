"""Functions for worker processes in the tests; a file of its own because workers import it by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def square(items, journal=None, seconds=0.0):
    if journal:
        with Path(journal).open("a") as file:
            file.write("".join(f"{item['x']}\n" for item in items))
    time.sleep(seconds)
    return [{"y": item["x"] ** 2 + 0.1} for item in items]


def touchy(items):
    """Fails in four ways: an exception, a death, a hang, a wrong number of rows."""
    for item in items:
        if item["x"] == 3:
            raise ValueError("three is refused")
        if item["x"] == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if item["x"] == 7:
            time.sleep(60)
        if item["x"] == 9:
            return []
    return [{"y": item["x"]} for item in items]
