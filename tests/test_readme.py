"""What the README shows is run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from matgen.cli import app

README = Path(__file__).parents[1] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_python_block_runs_and_ranks(tmp_path):
    (block,) = _blocks("python")
    assert len(block.strip().splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "e_above_hull" in done.stdout
    assert "screen" in done.stdout or "novel" in done.stdout or "unique" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        part.strip()
        for block in _blocks("sh")
        for line in block.splitlines()
        for part in line.split("#")[0].split(";")
        if part.strip().startswith("matgen")
    ],
)
def test_commands_shown_exist_with_these_options(line):
    command = typer.main.get_command(app)
    words = line.split()[1:]
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
