"""`drawbar env`: list, show, new and validate, as a user meets them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from drawbar.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "word_lengths.py"


@dataclass
class Said:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def env(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`drawbar env ...`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "installed"), *sys.path])

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(["env", *arguments])
        printed = capsys.readouterr()
        return Said(int(left.value.code or 0), printed.out, printed.err)

    return run


def install(folder: Path) -> None:
    info = folder / "installed" / "some_environment-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-environment\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[drawbar.environments]\nsome-environment = some_package:environment\n")


def test_list_names_what_is_installed_without_loading_it(env: Command, tmp_path: Path) -> None:
    install(tmp_path)
    wanted = {"name": "some-environment", "version": "1.2", "entry_point": "some_package:environment"}
    assert wanted in env("list", "--json").json
    assert "some-environment" in env("list").out


def test_show_prints_tools_tasks_rubric_limits_and_models(env: Command) -> None:
    shown = env("show", str(EXAMPLE), "--json").json
    assert shown["name"] == "word_lengths"
    assert shown["tools"] == ["count_letters: How many letters a word has."]
    assert shown["tasks"] == {"count": 2, "first": {"key": "drawbar", "prompt": "How many letters has 'drawbar'?"}}
    assert [(s["name"], s["kind"], s["weight"]) for s in shown["rubric"]["scorers"]] == [("correct", "reward", 1.0)]
    assert (shown["models"], shown["default_model"], shown["limits"]) == (["oracle"], "oracle", {"turns": 50})
    said = env("show", str(EXAMPLE)).out
    assert "count_letters: How many letters a word has." in said
    assert "tasks: 2, the first drawbar" in said


def test_show_stops_counting_tasks_that_never_end(env: Command, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(
        "from itertools import count\nfrom drawbar import Environment, Task\n"
        "environment = Environment(name='endless', tasks=lambda: (Task(prompt=str(n)) for n in count()))\n"
    )
    assert env("show", "endless.py", "--json").json["tasks"]["count"] == "more than 10000"


def test_show_passes_options_on(env: Command, tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "from drawbar import Environment\ndef environment(size: int = 1):\n"
        "    return Environment(name='made', description=str(size + 1))\n"
    )
    assert env("show", "made.py", "--env-option", "size=4", "--json").json["description"] == "5"


@pytest.mark.parametrize("command", ["show", "validate"])
def test_an_unknown_environment_is_a_message_and_no_traceback(env: Command, tmp_path: Path, command: str) -> None:
    install(tmp_path)
    said = env(command, "some-enviroment")
    assert (said.status, said.out) == (2, "")
    assert "No environment named 'some-enviroment'. Did you mean 'some-environment'?" in said.err
    assert "Traceback" not in said.err


def test_new_writes_a_project_whose_tests_pass_and_that_is_valid(env: Command, tmp_path: Path) -> None:
    said = env("new", "letter-count")
    assert said.status == 0
    assert "drawbar env validate letter-count" in said.out
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "letter-count"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout
    assert env("show", "letter-count", "--json").json["name"] == "letter-count"


@pytest.mark.slow
def test_what_new_writes_passes_the_linter_and_the_type_checker(env: Command, tmp_path: Path) -> None:
    env("new", "tidy-env", "--in", "environments")
    checks = {"ruff": ["check", "--select", "E,F,I,UP,B", "--line-length", "120"], "mypy": ["--strict"]}
    for tool, arguments in checks.items():
        pytest.importorskip(tool)
        done = subprocess.run(
            [sys.executable, "-m", tool, *arguments, "tidy_env"],
            cwd=tmp_path / "environments" / "tidy-env", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bad Name", "cannot name an environment"),
        ("9lives", "cannot name an environment"),
        ("json", "is the name of a Python package already"),
        ("there", "is there already, and is not empty"),
    ],
)
def test_new_refuses_a_name_that_cannot_be_one(env: Command, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "precious.txt").write_text("mine")
    said = env("new", name)
    assert said.status == 2
    assert message in said.err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["precious.txt"]


def test_validate_passes_the_example_and_leaves_nothing_behind(env: Command, tmp_path: Path) -> None:
    said = env("validate", str(EXAMPLE), "--json")
    assert said.status == 0
    assert said.json == {"environment": "word_lengths", "valid": True, "tasks": 2, "problems": []}
    assert list(tmp_path.iterdir()) == []


def test_validate_fails_with_what_is_wrong_and_what_to_do(env: Command, tmp_path: Path) -> None:
    source = EXAMPLE.read_text().replace("return len(word)", "return len(word) + 1")
    (tmp_path / "wrong.py").write_text(source)
    said = env("validate", "wrong.py", "-n", "1")
    assert said.status == 1
    assert "FAILED oracle: Task 'drawbar': the oracle got 0 of 1. Its answer was '8'; scores: correct 0." in said.out
    assert "Either the oracle does not solve the task, or a reward does not see that it did." in said.out


def test_the_example_is_a_complete_environment_in_at_most_25_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 25
