"""A request of another dialect as a whole request of chat, to a provider that speaks nothing else.

Providers differ in how strict they are; what is written is what all of them take. One opening message of the system,
before all others, for many models' templates know no second one; what it says later stands there as a user's. Ids of
tool calls that are unique in the conversation and answered by the results that follow them: clients of Gemini leave ids
out, or out of one side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drawbar.wire.chat_settings import MOST_TOKENS
from drawbar.wire.tolerant import dump
from drawbar.wire.translator import Chat


def chat_request(
    chat: Chat, model: str, *, stream: bool, usage: bool = True, limit: str = MOST_TOKENS, reasoning: bool = True
) -> bytes:
    """The body.

    Args:
        usage: ask for counts of tokens at a stream's end.
        limit: what the provider calls the most tokens of an answer.
        reasoning: whether earlier thoughts of the model are told again.
    """
    body: dict[str, Any] = {"model": model, "messages": _paired(_opened(chat.messages))}
    if not reasoning:
        body["messages"] = [{k: v for k, v in it.items() if k != "reasoning_content"} for it in body["messages"]]
    if chat.tools:
        body["tools"] = chat.tools
    known = {"tool_choice", "parallel_tool_calls"} if not chat.tools else set()
    settings = {name: value for name, value in chat.settings.items() if name not in known}
    if MOST_TOKENS in settings:
        settings[limit] = settings.pop(MOST_TOKENS)
    if stream:
        settings |= {"stream": True, **({"stream_options": {"include_usage": True}} if usage else {})}
    return dump({**body, **settings})


def _opened(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """With the system's messages at the beginning as one, and later ones as a user's."""
    count = _opening(messages)
    first = messages[:count]
    rest = [{**it, "role": "user"} if it.get("role") == "system" else it for it in messages[count:]]
    if count < 2 or not all(isinstance(it.get("content"), str) for it in first):
        return [*first, *rest]
    return [{"role": "system", "content": "\n\n".join(it["content"] for it in first)}, *rest]


def demoted(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether something that the system says becomes a user's words."""
    return any(it.get("role") == "system" for it in messages[_opening(messages) :])


def _opening(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many messages of the system stand at the beginning."""
    return next((at for at, it in enumerate(messages) if it.get("role") != "system"), len(messages))


def _paired(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """With each call's id used once, and each result under the id of the call that it answers."""
    found: list[Mapping[str, Any]] = []
    used: set[str] = set()
    open_calls: list[tuple[str, str, str]] = []
    for message in messages:
        if message.get("tool_calls"):
            calls = [{**call, "id": _fresh(str(call["id"]), used)} for call in message["tool_calls"]]
            open_calls = [
                (str(was["id"]), str(was["function"]["name"]), call["id"])
                for was, call in zip(message["tool_calls"], calls, strict=True)
            ]
            message = {**message, "tool_calls": calls}
        elif message.get("role") == "tool":
            message = {**message, "tool_call_id": _answered(str(message["tool_call_id"]), open_calls)}
        found.append(message)
    return found


def _fresh(id: str, used: set[str]) -> str:
    number, wanted = 1, id
    while wanted in used or not wanted:
        number, wanted = number + 1, f"{id}_{number}"
    used.add(wanted)
    return wanted


def _answered(id: str, open_calls: list[tuple[str, str, str]]) -> str:
    """The id under which the call stands now that a result with this id answers; taken out.

    A result without an id has one of its tool's name (`search#0`), and answers the first open call of that tool.
    """
    tool = id.rpartition("#")[0]
    at = next((at for at, (known, _, _) in enumerate(open_calls) if known == id), None)
    if at is None and tool:
        at = next((at for at, (_, name, _) in enumerate(open_calls) if name == tool), None)
    return id if at is None else open_calls.pop(at)[2]
