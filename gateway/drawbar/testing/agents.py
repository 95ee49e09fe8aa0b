"""In-process models for agents that are not ours: they put results of tools into forms of their own.

The gateway sees to it that any in-process model can call tools by their own names and reads words as one text. Results
it leaves as the agent showed them: Codex puts the time before them, Gemini's clients an object around them, smolagents
tells them as the user's words. A model that reads results reads them as the tools said them with `for_agents`:

    models={"oracle": for_agents(oracle)}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drawbar.model import Model
from drawbar.proxy.playing import Stage, in_one_text
from drawbar.task import Task
from drawbar.testing.wrappings import unwrapped, with_tool_calls

Message = Mapping[str, Any]
ASIDE = "Noted."
"""What is said to requests that want tool calls and offer no tools: titles and other side calls of agents."""


def for_agents(model: Model) -> Model:
    """The model, with results as the tools said them, whichever way an agent shows them."""

    async def play(messages: Sequence[Message], tools: Sequence[Message], task: Task | None, /) -> Message:
        stage = Stage(with_tool_calls([in_one_text(message) for message in messages]), tools)
        said = await model([_as_said(message) for message in stage.messages], stage.tools, task)
        return as_offered(said, tools)

    return play


def as_offered(message: Message, tools: Iterable[Message]) -> dict[str, Any]:
    """An assistant message whose tool calls have the names that a request (its `tools`, as in chat) gives to the tools.

    Without any tools it is a word instead: the request is an agent's own, beside the conversation.
    """
    offered = list(tools)
    if message.get("tool_calls") and not offered:
        return {"role": "assistant", "content": ASIDE}
    return Stage((), offered).answer(message)


def _as_said(message: Message) -> Message:
    content = message.get("content")
    if message.get("role") != "tool" or not isinstance(content, str):
        return message
    return {**message, "content": unwrapped(content)}
