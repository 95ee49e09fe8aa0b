"""A model's lines, written in advance: the replies that scripted models and servers give, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from drawbar.task import Task

Message: TypeAlias = Mapping[str, Any]
Reply: TypeAlias = str | Message | Callable[[Sequence[Message]], str | Message]
"""The words of a final answer, a whole assistant message, or a function from the conversation so far to one of them."""


def says(text: str, **fields: Any) -> dict[str, Any]:
    """An assistant message of words; further fields (`reasoning_content`, ...) as given."""
    return {"role": "assistant", "content": text, **fields}


def calls(tool: str, /, *, id: str | None = None, **arguments: Any) -> dict[str, Any]:
    """An assistant message that calls one tool. Without an `id` the call's id is made of its content."""
    return together((tool, arguments)) if id is None else _message([_call(tool, arguments, id)])


def together(*wanted: tuple[str, Any]) -> dict[str, Any]:
    """An assistant message that calls several tools at once: `together(("search", {"query": "a"}), ("search", {...}))`.

    Arguments that are a text are sent as they are, so that broken JSON can be said.
    """
    return _message([_call(tool, arguments, f"call_{n}_{tool}") for n, (tool, arguments) in enumerate(wanted)])


def _message(tool_calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def _call(tool: str, arguments: Any, id: str) -> dict[str, Any]:
    raw = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {"id": id, "type": "function", "function": {"name": tool, "arguments": raw}}


class Script:
    """Which reply comes next. It has no state: the turn is the number of assistant messages after the opening ones."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.replies = list(replies)

    def next(self, messages: Sequence[Message], opening: int = 0) -> dict[str, Any]:
        """The reply to this conversation. Tool-call ids are made unique to their turn.

        Raises:
            LookupError: the conversation went on longer than the script.
        """
        turn = sum(message.get("role") == "assistant" for message in messages) - opening
        if turn >= len(self.replies):
            raise LookupError(f"The script has {len(self.replies)} replies; turn {turn + 1} was asked for.")
        return self.at(turn, messages)

    def at(self, turn: int, messages: Sequence[Message]) -> dict[str, Any]:
        """The reply of one turn as an assistant message."""
        reply = self.replies[turn]
        said = reply(messages) if callable(reply) else reply
        message = says(said) if isinstance(said, str) else dict(said)
        if message.get("tool_calls"):
            message["tool_calls"] = [_numbered(call, turn) for call in message["tool_calls"]]
        return message


def _numbered(call: Message, turn: int) -> dict[str, Any]:
    generated = str(call.get("id", "")).startswith("call_")
    return {**call, "id": f"{call['id']}_t{turn}"} if generated else dict(call)


class ScriptedModel:
    """An in-process `Model` that says its lines whatever it is asked.

    Raises (when asked for more turns than it has lines):
        LookupError: as `Script.next`.
    """

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._script = Script(replies)

    async def __call__(
        self, messages: Sequence[Message], tools: Sequence[Message], task: Task | None, /
    ) -> dict[str, Any]:
        opening = 0 if task is None else sum(m.get("role") == "assistant" for m in task.messages)
        return self._script.next(messages, opening)
