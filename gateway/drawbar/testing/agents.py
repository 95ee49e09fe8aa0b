"""In-process models for agents that are not ours: they see tools under names of their harness' making.

Claude Code shows `mcp__drawbar__search`, opencode `drawbar_search`, Copilot `drawbar-search`. A model that was written
for the tools' own names plays under any of them with `for_agents`:

    models={"oracle": for_agents(oracle)}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from drawbar.model import Model
from drawbar.record.names import is_called
from drawbar.task import Task

Message = Mapping[str, Any]
ASIDE = "Noted."
"""What is said to requests that want tool calls and offer no tools: titles and other side calls of agents."""


def for_agents(model: Model) -> Model:
    """The model, with its tool calls under the names that stand in each request, and results read to it as texts."""

    async def play(messages: Sequence[Message], tools: Sequence[Message], task: Task | None, /) -> Message:
        return as_offered(await model([_plain(message) for message in messages], tools, task), tools)

    return play


def as_offered(message: Message, tools: Iterable[Message]) -> dict[str, Any]:
    """An assistant message whose tool calls have the names that a request (its `tools`, as in chat) gives to the tools.

    A tool is taken for the one that is meant when its name ends in it, after a separator. Names that are not offered
    stay as they are.
    """
    wanted = message.get("tool_calls")
    if not wanted:
        return dict(message)
    offered = [str((tool.get("function") or tool).get("name", "")) for tool in tools]
    if not offered:
        return {"role": "assistant", "content": ASIDE}
    return {**message, "tool_calls": [_renamed(call, offered) for call in wanted]}


def _renamed(call: Message, offered: Sequence[str]) -> dict[str, Any]:
    function = call["function"]
    name = next((name for name in offered if is_called(name, function["name"])), function["name"])
    return {**call, "function": {**function, "name": name}}


def _plain(message: Message) -> Message:
    """The message with its content as one text."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = (part.get("text", "") if part.get("type") == "text" else orjson.dumps(part).decode() for part in content)
    return {**message, "content": "\n".join(texts)}
