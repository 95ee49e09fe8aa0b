"""OpenAI chat messages, a conversation on each line: fine-tuning files, and plain `{"messages": [...]}`.

Reference: OpenAI's `FineTuneChatRequestInput`. Each message of the assistant's is a model call that was asked with all
before it; one with `"weight": 0` was said by nobody, and is only read. Lines may bring `tools`, `parallel_tool_calls`,
`model`, `metadata`, and our own `reward` or `scores`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from drawbar.importing.building import packet
from drawbar.importing.conversation import ChatMessage, Conversation, Exchange, Given
from drawbar.importing.opening import Source
from drawbar.importing.packet import Damage, Item
from drawbar.wire.tolerant import dump

_SAMPLING: Final = ("temperature", "top_p", "seed", "parallel_tool_calls", "tool_choice", "max_tokens")
_READ: Final = frozenset({"messages", "tools", "functions", "model", "metadata", "reward", "scores", "id", *_SAMPLING})


def recognises(source: Source) -> bool:
    return any(_is_chat(value) for value in source.first_values())


def read(source: Source) -> Iterator[Item]:
    for line in source.lines():
        try:
            if line.why is not None:
                raise ValueError(line.why)
            if not isinstance(line.value, dict) or not _is_chat(line.value):
                raise ValueError("there is no list of chat messages under `messages`")
            yield packet(_conversation(line.value), "chat", line.place, source)
        except (ValueError, TypeError, AttributeError) as error:
            yield Damage(line.place, str(error))


def _is_chat(value: Mapping[str, Any]) -> bool:
    messages = value.get("messages")
    return isinstance(messages, list) and all(isinstance(it, dict) and "role" in it for it in messages)


def _conversation(value: dict[str, Any]) -> Conversation:
    said: list[ChatMessage] = []
    exchanges: list[Exchange] = []
    tools = value.get("tools") or [{"type": "function", "function": it} for it in value.get("functions") or ()]
    for given in value["messages"]:
        message = {name: part for name, part in given.items() if name != "weight"}
        if message["role"] == "assistant" and given.get("weight", 1):
            sampling: dict[str, Any] = {name: value[name] for name in _SAMPLING if name in value}
            finish = "tool_calls" if message.get("tool_calls") else "stop"
            exchanges.append(
                Exchange(asked=list(said), reply=message, model=value.get("model"), tools=tools, sampling=sampling,
                         finish=finish)
            )  # fmt: skip
        said.append(message)
    found = Conversation(
        content=dump(value, sort=True),
        exchanges=exchanges,
        id=value["id"] if isinstance(value.get("id"), str) else None,
        metadata=value["metadata"] if isinstance(value.get("metadata"), dict) else {},
        scores=list(_scores(value)),
    )
    found.losses.update({f"the field `{name}`": 1 for name in value.keys() - _READ})
    if exchanges and said[-1] is not exchanges[-1].reply:
        found.losses["messages after the last reply"] += 1
    return found


def _scores(value: Mapping[str, Any]) -> Iterator[Given]:
    reward, scores = value.get("reward"), value.get("scores")
    if isinstance(reward, int | float):
        yield Given(name="reward", value=float(reward), weight=1.0)
    if isinstance(scores, dict):
        yield from (Given(name=name, value=float(it)) for name, it in scores.items() if isinstance(it, int | float))
