"""An environment: tools, tasks and a rubric under one name and version. The thing a user writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal

from drawbar.errors import ConfigurationError
from drawbar.model import Model
from drawbar.rubric import Rubric, ScoreFunction, Scorer
from drawbar.server import PythonServer, ToolServer
from drawbar.task import Limits, Task
from drawbar.user import ModelUser, User

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from drawbar.judging import Judge

Tool = Callable[..., Any]
"""An async (or plain) function; its name, docstring and annotations become the tool's name, description and schema."""

_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Tool servers + tasks + rubric.

    Raises:
        ConfigurationError: a name that cannot stand in a URL, or two servers of one name.
    """

    name: str
    """Lower-case letters, digits, `-` and `_`."""
    version: str = "0.1.0"
    description: str = ""
    tools: Sequence[Tool] = ()
    """Functions; they become one in-process MCP server named after the environment."""
    servers: Mapping[str, ToolServer] = field(default_factory=dict)
    """Further MCP servers by name."""
    tasks: Iterable[Task] | Callable[[], Iterable[Task]] = ()
    """Any iterable (a list, a `TaskFile`, a generator), or a function that makes one. It may be infinite. What a
    generator has yielded is kept, so that it can be gone through again; a function keeps nothing."""
    rubric: Rubric | Sequence[Scorer | ScoreFunction] = ()
    system: str | None = None
    """The system prompt of tasks that have none of their own."""
    judge: Judge | None = None
    """Handed to the rewards that ask for `judge` and have none of their own."""
    user: User | None = None
    """Who plays the user after the agent's final answers. None: tasks with `user_turns` have them replayed."""
    limits: Limits = field(default_factory=lambda: Limits(turns=50))
    """When a session must stop; a task can be stricter."""
    concurrency: int | None = None
    """How many rollouts at a time it can bear, whatever a run asks for; None: any number."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Set on every model request: `temperature`, ..."""
    models: Mapping[str, Model] = field(default_factory=dict)
    """In-process models that come with it, by name: `oracle`, `baseline`, ..."""
    default_model: str | None = None
    """What `drawbar run` takes when no model is named; one of `models`, so that it needs no key and no network."""
    observation: Literal["text", "as-is"] = "text"
    """`text`: agents see the text of results alone (`structuredContent` and `outputSchema` are kept in the record and
    taken out of what is shown), so that scores are comparable between harnesses. `as-is`: what the server said."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"An environment's name is made of lower-case letters, digits, '-' and '_': not {self.name!r}."
            )
        if self.concurrency is not None and self.concurrency < 1:
            raise ConfigurationError(f"Environment {self.name}: concurrency is 1 or more, not {self.concurrency!r}.")
        if self.tools and self.name in self.servers:
            raise ConfigurationError(
                f"Environment {self.name}: `tools` become a server named {self.name!r}, which `servers` names too."
            )
        if self.default_model is not None and self.default_model not in self.models:
            raise ConfigurationError(
                f"Environment {self.name}: default_model {self.default_model!r} is not among its models."
            )
        if not isinstance(self.rubric, Rubric):
            object.__setattr__(self, "rubric", Rubric(*self.rubric))
        if isinstance(self.tasks, Iterator):
            object.__setattr__(self, "tasks", _Replay(self.tasks))

    @property
    def scoring(self) -> Rubric:
        """The rubric, whichever way it was given."""
        assert isinstance(self.rubric, Rubric)
        return self.rubric

    @property
    def rubric_version(self) -> str:
        """The version that scores get: it changes with the rubric's code, weights and judges."""
        return self.scoring.version(self.judge)

    @property
    def judge_models(self) -> list[str]:
        """The models behind the judges of what has a weight: without them a rollout has no reward."""
        scorers = self.scoring.scorers.values()
        judges = [scorer.judge or self.judge for scorer in scorers if scorer.weight and "judge" in scorer.parameters]
        return list(dict.fromkeys(judge.model for judge in judges if judge is not None and judge.model))

    @property
    def user_models(self) -> list[str]:
        """The model that plays the user, if one does: without it a rollout is invalid."""
        return [self.user.model] if isinstance(self.user, ModelUser) else []

    def all_servers(self) -> dict[str, ToolServer]:
        """Every tool server by name, the functions in `tools` as one in-process server. Imports the MCP SDK if need be.

        Raises:
            ConfigurationError: a tool that the SDK cannot make a schema for.
        """
        return (
            {self.name: PythonServer(server=self._own_server()), **self.servers} if self.tools else dict(self.servers)
        )

    def _own_server(self) -> MCPServer[Any]:
        from mcp.server import MCPServer

        server: MCPServer[Any] = MCPServer(self.name, version=self.version, subscriptions=False, log_level="WARNING")
        names = [getattr(tool, "__name__", repr(tool)) for tool in self.tools]
        for name, tool in zip(names, self.tools, strict=True):
            if names.count(name) > 1:
                raise ConfigurationError(f"Environment {self.name}: two of its tools are named {name!r}.")
            try:
                server.add_tool(tool, structured_output=False)
            except Exception as error:
                raise ConfigurationError(
                    f"Environment {self.name}: {name} cannot be a tool: {type(error).__name__}: {error}"
                ) from error
        return server

    def iter_tasks(self, limit: int | None = None) -> Iterator[Task]:
        """The tasks in order, with the environment's system prompt where they have none; at most `limit` of them.

        Raises:
            ConfigurationError: a key repeats, or something that is no `Task` comes.
        """
        source = self.tasks() if callable(self.tasks) else self.tasks
        if not isinstance(source, Iterable):
            raise ConfigurationError(
                f"Environment {self.name}: `tasks` is a list, a TaskFile, a generator or a function "
                f"that makes one of these, not {type(source).__name__}."
            )
        seen: set[str] = set()
        for task in islice(source, limit):
            if not isinstance(task, Task):
                raise ConfigurationError(
                    f"Environment {self.name}: its tasks yield a {type(task).__name__}, not a drawbar.Task."
                )
            if task.key in seen:
                raise ConfigurationError(
                    f"Environment {self.name}: task key {task.key!r} repeats. Give each task a `key` of its own."
                )
            seen.add(task.key)
            yield replace(task, system=self.system) if task.system is None and self.system is not None else task


class _Replay:
    """What an iterator yields, each time from the start."""

    def __init__(self, source: Iterator[Task]) -> None:
        self._source = source
        self._seen: list[Task] = []

    def __iter__(self) -> Iterator[Task]:
        for position in count():
            while position >= len(self._seen):
                try:
                    self._seen.append(next(self._source))
                except StopIteration:
                    return
            yield self._seen[position]
