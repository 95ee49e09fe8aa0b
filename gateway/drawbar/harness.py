"""The harness protocol: what a program that runs an agent for one task is given, and what it owes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from drawbar.task import Limits, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One rollout's work order. All that the agent does goes through these URLs, which belong to its session alone."""

    session: str
    """The session's id (not a secret)."""
    key: str
    """The session's key: bearer token for the model side and the MCP side."""
    base_url: str
    """The session's URL prefix; `/v1/chat/completions` and so on below it. The key is in it already."""
    mcp_url: str
    """The session's MCP endpoint, the key in it already."""
    model: str
    user_url: str | None = None
    """Where the agent's final answer is replied to, the key in it; None: the task ends with the first one. After each
    final answer, `POST {"turn": n}` there, n being how many of the user's messages there have been; the reply is
    `{"message": {"role": "user", "content": ...}, "done": false}`, or `{"message": null, "done": true}`."""
    messages: Sequence[Mapping[str, Any]]
    """The opening messages in chat form."""
    task: Task
    """Harnesses pass on the prompt, never the answer."""
    limits: Limits = field(default_factory=Limits)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Sampling parameters; the gateway sets them on every request as well."""
    seed: int | None = None
    workdir: Path | None = None
    """A directory of the rollout's own, removed afterwards."""

    @property
    def openai_base_url(self) -> str:
        """What OpenAI SDKs call `base_url`."""
        return self.base_url + "/v1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the harness ended: a cause from `drawbar.causes`, and what it said (its error, its output)."""

    stop: str = "completed"
    error: str | None = None
    output: Mapping[str, str] = field(default_factory=dict)
    """Anything worth keeping as text, by name (`stdout`, `stderr`): stored in the session's metadata."""


@runtime_checkable
class Harness(Protocol):
    """Runs an agent for one task. Any object with these is one.

    `run` returns when the agent is done and leaves nothing behind: no process, no connection, no task. It must end soon
    when it is cancelled. An exception other than cancellation counts as `harness_failed`. Many runs go on at once.

    A harness that keeps something between rollouts (connections, say) is an async context manager too; a run enters it.
    One that asks at `Assignment.user_url` what the user says next has an attribute `asks_user` that is True; others are
    given no task whose user has more to say.
    """

    name: str

    async def run(self, assignment: Assignment, /) -> Outcome: ...


class Installation(Protocol):
    """What a harness that runs a foreign agent has as its class attribute `install`: `drawbar harness install` asks it.

    Such a class says as `dialect` and `mcp` which dialect and which revision of MCP its agent speaks.
    """

    @property
    def version(self) -> str: ...

    @property
    def installed(self) -> bool: ...

    def install(self, say: Callable[[str], None], /) -> None:
        """Fetch what is missing, telling `say` what goes on. Raises `HarnessError`."""
