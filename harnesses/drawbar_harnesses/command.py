"""`command`: any program as an agent. It is told by environment variables, files and placeholders where to work.

The program is started without a shell, in a directory of its own, with:

| variable | what it holds |
| --- | --- |
| `OPENAI_BASE_URL`, `OPENAI_API_KEY` | the session, for agents that speak chat or Responses |
| `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY` | the session, for agents that speak Messages |
| `GOOGLE_GEMINI_BASE_URL`, `GEMINI_API_KEY` | the session, for agents that speak Gemini |
| `DRAWBAR_MODEL`, `OPENAI_MODEL` | the model's name |
| `DRAWBAR_MCP_URL`, `DRAWBAR_MCP_CONFIG` | the tools: the URL, and a file in the shape of `mcp.json` |
| `DRAWBAR_PROMPT_FILE`, `DRAWBAR_MESSAGES_FILE` | the prompt as text, and all opening messages as JSON |
| `DRAWBAR_SESSION`, `DRAWBAR_TASK`, `DRAWBAR_SEED` | the session's id, the task's key, the seed if there is one |

Of our own environment it inherits no more than `PATH`, `HOME`, the locale and the like, and what `pass_env` names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from drawbar.errors import ConfigurationError, HarnessError, UnknownName
from drawbar.harness import Assignment, Outcome
from drawbar.tools.warden import Warden
from drawbar_harnesses.processes import Child, child

INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TERM", "TMPDIR", "TZ", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "VIRTUAL_ENV", "SYSTEMROOT",
)  # fmt: skip
PLACEHOLDERS = {
    "prompt": "the prompt",
    "prompt_file": "a file that holds it",
    "messages_file": "a file that holds all opening messages as JSON",
    "system": "the system prompt, or nothing",
    "model": "the model's name",
    "base_url": "the session's URL",
    "openai_base_url": "the same with /v1",
    "key": "the session's key",
    "mcp_url": "the tools' URL",
    "mcp_config": "a file in the shape of mcp.json",
    "workdir": "the directory that it starts in",
    "session": "the session's id",
    "seed": "the seed, or nothing",
}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class _Desk:
    """What one rollout's program finds: its placeholders' values and its directory."""

    workdir: Path
    values: Mapping[str, str]


class CommandHarness:
    """Options:

    `command`: the program and its arguments, a list (in JSON, as a text) or one text that is split as a shell would;
    no shell is involved. Arguments may hold `{placeholders}`: {names}. `{{` and `}}` stand for braces.
    `timeout`: seconds; the task's limit of wall time holds as well.
    `env`: further variables (a JSON object), with placeholders; `pass_env`: variables of ours to pass on, by name.

    Raises:
        ConfigurationError: no command, or a program that is not there.
        UnknownName: a placeholder that there is not.
    """

    __doc__ = (__doc__ or "").replace("{names}", ", ".join(PLACEHOLDERS))
    name = "command"

    def __init__(
        self,
        *,
        command: str | list[str] = "",
        timeout: float | None = None,
        env: str | Mapping[str, str] = "{}",
        pass_env: str | list[str] = "",
    ) -> None:
        self._command = _split(command) if isinstance(command, str) else [str(part) for part in command]
        self._env = _object(env) if isinstance(env, str) else dict(env)
        self._pass_env = [name.strip() for name in pass_env.split(",")] if isinstance(pass_env, str) else pass_env
        self._timeout = timeout
        self._shared: Warden | None = None
        if not self._command:
            raise ConfigurationError(
                "The command harness needs a program: --harness-option command='my-agent --task {prompt_file}'."
            )
        for text in (*self._command, *self._env.values()):
            for found in _PLACEHOLDER.finditer(text):
                if found[1] is not None and found[1] not in PLACEHOLDERS:
                    raise UnknownName("placeholder", found[1], PLACEHOLDERS, "Write {{ and }} for braces.")
        program = self._command[0]
        if not _PLACEHOLDER.search(program) and shutil.which(program) is None:
            raise ConfigurationError(f"The command harness cannot find the program {program!r}, or may not run it.")

    async def __aenter__(self) -> CommandHarness:
        self._shared = Warden()
        return self

    async def __aexit__(self, *exception: object) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.close()

    async def run(self, assignment: Assignment, /) -> Outcome:
        with _desk(assignment) as desk:
            async with self._guarded() as warden:
                return await self._start(assignment, desk, warden)

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[Warden]:
        """The warden of all rollouts, or, outside a run, one for this rollout alone."""
        if self._shared is not None:
            yield self._shared
            return
        warden = Warden()
        try:
            yield warden
        finally:
            with anyio.CancelScope(shield=True):
                await warden.close()

    async def _start(self, assignment: Assignment, desk: _Desk, warden: Warden) -> Outcome:
        environment = self._environment(assignment, desk)
        command = [_filled(part, desk.values) for part in self._command]
        mark = f"DRAWBAR_SESSION={assignment.session}"
        try:
            async with child(command, env=environment, cwd=desk.workdir, mark=mark, warden=warden) as program:
                return await self._attend(program, assignment)
        except OSError as error:
            raise HarnessError(f"{command[0]!r} could not be started: {error}") from error

    async def _attend(self, program: Child, assignment: Assignment) -> Outcome:
        seconds = min((s for s in (self._timeout, assignment.limits.seconds) if s is not None), default=None)
        status: int | None = None
        with anyio.move_on_after(seconds):
            status = await program.wait()
        output = {"stdout": program.stdout, "stderr": program.stderr}
        if status is None:
            return Outcome("limit_time", f"{self._command[0]} was stopped after {seconds:g} s.", output)
        if status == 0:
            return Outcome("completed", None, output)
        how = f"ended with exit status {status}" if status > 0 else f"was killed by signal {-status}"
        last = output["stderr"].strip()[-300:]
        return Outcome("agent_failed", f"{self._command[0]} {how}{': ' + last if last else ''}", output)

    def _environment(self, assignment: Assignment, desk: _Desk) -> dict[str, str]:
        values = desk.values
        passed = (*INHERITED, *(name for name in os.environ if name.startswith("LC_")), *self._pass_env)
        environment = {name: os.environ[name] for name in passed if name in os.environ}
        environment |= {
            "OPENAI_BASE_URL": values["openai_base_url"],
            "OPENAI_API_BASE": values["openai_base_url"],
            "OPENAI_API_KEY": assignment.key,
            "OPENAI_MODEL": assignment.model,
            "ANTHROPIC_BASE_URL": assignment.base_url,
            "ANTHROPIC_API_KEY": assignment.key,
            "GOOGLE_GEMINI_BASE_URL": assignment.base_url,
            "GEMINI_API_KEY": assignment.key,
            "DRAWBAR_BASE_URL": assignment.base_url,
            "DRAWBAR_MODEL": assignment.model,
            "DRAWBAR_MCP_URL": assignment.mcp_url,
            "DRAWBAR_MCP_CONFIG": values["mcp_config"],
            "DRAWBAR_PROMPT_FILE": values["prompt_file"],
            "DRAWBAR_MESSAGES_FILE": values["messages_file"],
            "DRAWBAR_SESSION": assignment.session,
            "DRAWBAR_TASK": assignment.task.key,
        }
        if assignment.seed is not None:
            environment["DRAWBAR_SEED"] = str(assignment.seed)
        return environment | {name: _filled(str(value), values) for name, value in self._env.items()}


def _split(command: str) -> list[str]:
    if not command.lstrip().startswith("["):
        return shlex.split(command)
    try:
        return [str(part) for part in json.loads(command)]
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"The command begins like a JSON list and is none: {error}.") from error


def _object(text: str) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()}
    except (json.JSONDecodeError, AttributeError) as error:
        raise ConfigurationError(f"The option env of the command harness is a JSON object: not {text!r}.") from error


@contextmanager
def _desk(assignment: Assignment) -> Iterator[_Desk]:
    """The program's directory with its files; removed afterwards when it is ours."""
    workdir = assignment.workdir or Path(tempfile.mkdtemp(prefix="drawbar-"))
    try:
        yield _laid(workdir, assignment)
    finally:
        if assignment.workdir is None:
            shutil.rmtree(workdir, ignore_errors=True)


def _laid(workdir: Path, assignment: Assignment) -> _Desk:
    messages = [dict(message) for message in assignment.messages]
    prompt = "\n\n".join(_words(m.get("content")) for m in messages if m.get("role") == "user")
    servers = {"drawbar": {"type": "http", "url": assignment.mcp_url}}
    files = {
        "prompt_file": ("prompt.txt", prompt),
        "messages_file": ("messages.json", json.dumps(messages, ensure_ascii=False)),
        "mcp_config": ("mcp.json", json.dumps({"mcpServers": servers})),
    }
    for name, content in files.values():
        (workdir / name).write_text(content, encoding="utf-8")
    values = {
        "prompt": prompt,
        "system": "\n\n".join(_words(m.get("content")) for m in messages if m.get("role") == "system"),
        "model": assignment.model,
        "base_url": assignment.base_url,
        "openai_base_url": assignment.openai_base_url,
        "key": assignment.key,
        "mcp_url": assignment.mcp_url,
        "workdir": str(workdir),
        "session": assignment.session,
        "seed": "" if assignment.seed is None else str(assignment.seed),
    }
    return _Desk(workdir, values | {key: str(workdir / name) for key, (name, _) in files.items()})


def _words(content: Any) -> str:
    """The text of a message's content, whether it is one text or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if part.get("type") == "text")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: values[m[1]] if m[1] else m[0][0], text)
