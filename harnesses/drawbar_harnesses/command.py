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
| `DRAWBAR_USER_URL` | where the user replies to final answers; set only if the task's user has more to say |

A program that finds `DRAWBAR_USER_URL` sends it `POST {"turn": n}` after each final answer, n being how many of the
user's messages it has had there; it gets `{"message": {"role": "user", "content": ...}, "done": false}` and goes on, or
`{"message": null, "done": true}` and ends. A program that ends before has not done its task: that does not count.

Of our own environment it inherits no more than `PATH`, `HOME`, the locale and the like, and what `pass_env` names.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drawbar.errors import ConfigurationError, UnknownName
from drawbar.harness import Assignment, Outcome
from drawbar_harnesses.launch import Programs, Start, inherited
from drawbar_harnesses.opening import prompt_of, system_of

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
    "user_url": "where the user replies to final answers, or nothing",
    "workdir": "the directory that it starts in",
    "here": "the directory that drawbar was started in",
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
    asks_user = True

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
        self._programs = Programs(timeout)
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
        await self._programs.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._programs.__aexit__(*exception)

    async def run(self, assignment: Assignment, /) -> Outcome:
        with _desk(assignment) as desk:
            command = [_filled(part, desk.values) for part in self._command]
            start = Start(command, self._environment(assignment, desk), desk.workdir, self._command[0])
            return await self._programs.run(start, assignment)

    def _environment(self, assignment: Assignment, desk: _Desk) -> dict[str, str]:
        values = desk.values
        environment = inherited(*self._pass_env) | {
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
            "DRAWBAR_TASK": assignment.task.key,
        }
        if assignment.seed is not None:
            environment["DRAWBAR_SEED"] = str(assignment.seed)
        if assignment.user_url is not None:
            environment["DRAWBAR_USER_URL"] = assignment.user_url
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
    prompt = prompt_of(messages)
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
        "system": system_of(messages),
        "model": assignment.model,
        "base_url": assignment.base_url,
        "openai_base_url": assignment.openai_base_url,
        "key": assignment.key,
        "mcp_url": assignment.mcp_url,
        "user_url": assignment.user_url or "",
        "workdir": str(workdir),
        "here": str(Path.cwd()),
        "session": assignment.session,
        "seed": "" if assignment.seed is None else str(assignment.seed),
    }
    return _Desk(workdir, values | {key: str(workdir / name) for key, (name, _) in files.items()})


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: values[m[1]] if m[1] else m[0][0], text)
