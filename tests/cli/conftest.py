"""The command line in this process: what it prints where, and how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drawbar.cli.main import main

QUIZ = '''
import itertools

from drawbar import Environment, Task, metric
from drawbar.testing import ScriptedModel, calls, says


async def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: a word"


def correct(completion, answer):
    return completion == answer


@metric
def words(completion):
    return len(completion.split())


def environment(endless: bool = False, broken: bool = False, topic: str = "Question") -> Environment:
    def tasks():
        for number in itertools.count() if endless else range(4):
            if broken and number == 2:
                raise ZeroDivisionError("the tasks' own mistake")
            yield Task(key=f"q{number}", prompt=f"{topic} {number}", answer="yes" if number % 2 else "no")

    return Environment(
        name="quiz", tools=[look_up], tasks=tasks, rubric=[correct, words],
        models={"yes": ScriptedModel([calls("look_up", word="yes"), says("yes")])}, default_model="yes",
    )
'''


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def drawbar(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command in an empty directory that holds `quiz.py`."""
    (tmp_path / "quiz.py").write_text(QUIZ)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main(list(arguments))
        out, err = capfd.readouterr()
        code = exited.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)

    return run
