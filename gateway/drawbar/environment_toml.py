"""`environment.toml`: an environment written without Python. Servers by command or URL, tasks from files, a rubric by
import path.

Paths are relative to the file. The structs below are the format; `drawbar env show` prints what was read.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, nearest
from drawbar.judging import DEFAULT_VERDICTS, Judge, judge
from drawbar.loading import import_beside
from drawbar.model import Model
from drawbar.rubric import Rubric, ScoreFunction, Scorer
from drawbar.server import CassetteServer, CommandServer, PythonServer, Scope, ToolServer, UrlServer
from drawbar.task import Limits
from drawbar.taskfile import TaskFile
from drawbar.toml import TomlFile
from drawbar.tools.cassettes.settings import CassetteTable
from drawbar.user import ModelUser, ReplayUser, User

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Top(msgspec.Struct, kw_only=True):
    name: str
    version: str = "0.1.0"
    description: str = ""
    system: str | None = None
    tasks: str | list[str] = []
    """Task files (`TaskFile`)."""
    observation: Literal["text", "as-is"] = "text"
    default_model: str | None = None
    concurrency: int | None = None
    servers: dict[str, Any] = {}
    rubric: dict[str, Any] = {}
    judge: dict[str, Any] | None = None
    judges: dict[str, Any] = {}
    user: dict[str, Any] | None = None
    limits: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    models: dict[str, str] = {}
    """In-process models by import path: `oracle = "solutions:oracle"`."""


class _Server(msgspec.Struct, kw_only=True):
    scope: Scope = "shared"
    timeout: float = 60.0
    max_result_bytes: int = 1_000_000
    cassette: str | dict[str, Any] | None = None
    """A path, or a table: recorded calls that answer in place of the server. A server may be a cassette alone."""


class _Command(_Server):
    command: str | list[str]
    """The program and its arguments; a text is split as a shell would, but there is no shell."""
    env: dict[str, str] = {}
    """`${NAME}` stands for a variable of the environment that drawbar runs in."""
    pass_env: list[str] = []
    cwd: str = "."


class _Url(_Server):
    url: str
    headers: dict[str, str] = {}
    """`${NAME}` as above: keep secrets out of the file."""


class _Python(_Server):
    python: str
    """An MCP server object, or a function that makes one, by import path."""


class _RubricTable(msgspec.Struct, kw_only=True):
    scorers: list[str] = []
    """Import paths of functions, rewards, metrics or whole rubrics: `module:name`."""
    weights: dict[str, float] = {}


class _JudgeTable(msgspec.Struct, kw_only=True):
    model: str = ""
    """Without one, what the judge would score has no score; `--judge-model` names one too."""
    template: str | None = None
    template_file: str | None = None
    verdicts: dict[str, float] = {}
    system: str | None = None
    sampling: dict[str, Any] = {}
    timeout: float = 120.0


class _JudgeReward(_JudgeTable):
    weight: float = 1.0


class _UserTable(msgspec.Struct, kw_only=True):
    """The fields of `ModelUser`, for `mode = "model"`; a replay has none."""

    mode: Literal["replay", "model"] = "replay"
    model: str | None = None
    template: str | None = None
    template_file: str | None = None
    stop: str | None = None
    max_turns: int | None = None
    sampling: dict[str, Any] | None = None
    timeout: float | None = None


class _LimitsTable(msgspec.Struct, kw_only=True):
    turns: int | None = 50
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None


def read_environment(path: Path) -> Environment:
    """The environment of an `environment.toml`.

    Raises:
        ConfigurationError: file, line and key of what is wrong.
    """
    return _Reader(TomlFile(path)).environment()


class _Reader:
    def __init__(self, file: TomlFile) -> None:
        self.file = file
        self.folder = file.path.parent
        self.top = file.read(file.table, _Top)

    def environment(self) -> Environment:
        top = self.top
        if top.default_model is not None and top.default_model not in top.models:
            raise self.file.error(f"it is not among [models].{nearest(top.default_model, top.models)}", "default_model")
        shared = None if top.judge is None else self.judge(top.judge)
        parts: dict[str, Any] = {
            "servers": {name: self.server(name, table) for name, table in top.servers.items()},
            "tasks": self.tasks(),
            "rubric": self.rubric(),
            "judge": shared,
            "user": None if top.user is None else self.user(top.user),
            "limits": self.limits(),
            "models": {name: self.model(name, spec) for name, spec in top.models.items()},
        }
        with self.file.at("name"):
            return Environment(
                name=top.name,
                version=top.version,
                description=top.description,
                system=top.system,
                observation=top.observation,
                default_model=top.default_model,
                concurrency=top.concurrency,
                sampling=top.sampling,
                **parts,
            )

    def server(self, name: str, table: Any) -> ToolServer:
        keys = ("servers", name)
        kinds = 0 if not isinstance(table, Mapping) else sum(kind in table for kind in ("command", "url", "python"))
        if kinds != 1 and (kinds or "cassette" not in table):
            raise self.file.error("a server has one of `command`, `url` and `python`, or a `cassette`", *keys)
        with self.file.at(*keys):
            if "command" in table:
                return self.command(self.file.read(table, _Command, *keys), keys)
            if "url" in table:
                given = self.file.read(table, _Url, *keys)
                headers = self.filled(given.headers, *keys, "headers")
                return UrlServer(**self.common(given, keys), url=given.url, headers=headers)
            if "python" in table:
                served = self.file.read(table, _Python, *keys)
                return PythonServer(**self.common(served, keys), server=import_beside(served.python, self.folder))
            return CassetteServer(**self.common(self.file.read(table, _Server, *keys), keys))

    def common(self, given: _Server, keys: tuple[str, ...]) -> dict[str, Any]:
        """What every kind of server has."""
        cassette = None
        if given.cassette is not None:
            table = {"path": given.cassette} if isinstance(given.cassette, str) else given.cassette
            read = self.file.read(table, CassetteTable, *keys, "cassette")
            with self.file.at(*keys, "cassette"):
                cassette = read.cassette(self.folder)
        return {
            "scope": given.scope,
            "timeout": given.timeout,
            "max_result_bytes": given.max_result_bytes,
            "cassette": cassette,
        }

    def command(self, given: _Command, keys: tuple[str, ...]) -> CommandServer:
        command = shlex.split(given.command) if isinstance(given.command, str) else given.command
        if not command:
            raise self.file.error("it names no program", *keys, "command")
        return CommandServer(
            **self.common(given, keys), command=command, env=self.filled(given.env, *keys, "env"),
            pass_env=given.pass_env, cwd=(self.folder / given.cwd).resolve(),
        )  # fmt: skip

    def filled(self, values: Mapping[str, str], *keys: str) -> dict[str, str]:
        """The values with each `${NAME}` replaced."""
        for name in _VARIABLE.findall(" ".join(values.values())):
            if name not in os.environ:
                raise self.file.error(f"the environment variable {name} is not set", *keys)
        return {key: _VARIABLE.sub(lambda m: os.environ[m[1]], value) for key, value in values.items()}

    def tasks(self) -> Any:
        names = [self.top.tasks] if isinstance(self.top.tasks, str) else self.top.tasks
        with self.file.at("tasks"):
            files = [TaskFile(self.folder / name) for name in names]
        return files[0] if len(files) == 1 else lambda: chain.from_iterable(files)

    def rubric(self) -> Rubric:
        table = self.file.read(self.top.rubric, _RubricTable, "rubric")
        scorers: list[Scorer | ScoreFunction] = []
        with self.file.at("rubric", "scorers"):
            for spec in table.scorers:
                found = import_beside(spec, self.folder)
                scorers += found.scorers.values() if isinstance(found, Rubric) else [found]
        scorers += [self.judge_reward(name, given) for name, given in self.top.judges.items()]
        with self.file.at("rubric", "scorers"):
            rubric = Rubric(*scorers)
        with self.file.at("rubric", "weights"):
            return rubric.with_weights(table.weights)

    def limits(self) -> Limits:
        given = self.file.read(self.top.limits, _LimitsTable, "limits")
        with self.file.at("limits"):
            return Limits(**msgspec.structs.asdict(given))

    def judge(self, table: Any) -> Judge:
        given = self.file.read(table, _JudgeTable, "judge")
        with self.file.at("judge"):
            return Judge(**self.judging(given, "judge"))

    def judge_reward(self, name: str, table: Any) -> Scorer:
        given = self.file.read(table, _JudgeReward, "judges", name)
        with self.file.at("judges", name):
            return judge(name=name, weight=given.weight, **self.judging(given, "judges", name))

    def judging(self, given: _JudgeTable, *keys: str) -> dict[str, Any]:
        if (given.template is None) == (given.template_file is None):
            raise self.file.error("a judge has one of `template` and `template_file`", *keys)
        return {
            "template": self.template(given, *keys), "model": given.model, "system": given.system,
            "verdicts": given.verdicts or DEFAULT_VERDICTS, "sampling": given.sampling, "timeout": given.timeout,
        }  # fmt: skip

    def template(self, given: _JudgeTable | _UserTable, *keys: str) -> str | None:
        """The template that a table holds or names."""
        if given.template_file is None:
            return given.template
        try:
            return (self.folder / given.template_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.file.error(f"the template cannot be read: {error}", *keys, "template_file") from error

    def user(self, table: Any) -> User:
        given = self.file.read(table, _UserTable, "user")
        if given.template is not None and given.template_file is not None:
            raise self.file.error("a user has one of `template` and `template_file`", "user")
        fields = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
        if fields.pop("mode", "replay") == "replay":
            if fields:
                raise self.file.error(
                    'a replay says what is recorded; this is for mode = "model"', "user", next(iter(fields))
                )
            return ReplayUser()
        if given.model is None:
            raise self.file.error("which `model` plays the user?", "user")
        if (template := self.template(given, "user")) is not None:
            fields["template"] = template
        fields.pop("template_file", None)
        with self.file.at("user"):
            return ModelUser(**fields)

    def model(self, name: str, spec: str) -> Model:
        with self.file.at("models", name):
            found = import_beside(spec, self.folder)
            if not callable(found):
                raise ConfigurationError(f"{spec} is a {type(found).__name__}, not a function.")
            model: Model = found
            return model
