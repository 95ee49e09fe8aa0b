"""In-process models under agents that are not ours, without having to know of them.

A model that is a function is written for the tools' own names and for words that are one text. Agents show tools under
names of their making (`mcp__drawbar__search`) and send words in parts. So a model reads the tools' own names and words
as one text, and its tool calls get the names that stand in the request. What is recorded is not touched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from drawbar.record.names import is_called

Message = Mapping[str, Any]
_PREFIX: Final = re.compile(r"mcp__.+?__|(?:mcp_)?drawbar(?:__|[-_./:])")
"""What agents put before a tool's name: the server's, which is ours, or `mcp` and whatever it is called there."""


class Stage:
    """One request as a model is to read it, and the way back for its answer."""

    def __init__(self, messages: Iterable[Message], tools: Sequence[Message]) -> None:
        self._offered = [name_of(tool) for tool in tools]
        own = {name: _own(name) for name in self._offered}
        twice = Counter(own.values())
        self._own = {name: tool for name, tool in own.items() if twice[tool] == 1}
        self.messages = [self._read(message) for message in messages]
        self.tools = [self._with_own_name(tool) for tool in tools]

    def answer(self, message: Message) -> dict[str, Any]:
        """An assistant message whose tool calls have the names that the request gives to the tools.

        Names that are not offered, in whichever form, stay as they are.
        """
        wanted = message.get("tool_calls")
        return {**message, "tool_calls": [_renamed(call, self._name) for call in wanted]} if wanted else dict(message)

    def _name(self, tool: str) -> str:
        if tool in self._offered:
            return tool
        known = next((name for name, own in self._own.items() if own == tool), None)
        return known or next((name for name in self._offered if is_called(name, tool)), tool)

    def _read(self, message: Message) -> Message:
        read = in_one_text(message)
        made = message.get("tool_calls")
        if not isinstance(made, list) or not self._own:
            return read
        return {**read, "tool_calls": [_renamed(call, lambda name: self._own.get(name, name)) for call in made]}

    def _with_own_name(self, tool: Message) -> Message:
        own, function = self._own.get(name_of(tool)), tool.get("function")
        return {**tool, "function": {**function, "name": own}} if own and isinstance(function, dict) else tool


def in_one_text(message: Message) -> Message:
    """The message with content that is words alone as one text."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    texts = [str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return {**message, "content": "\n".join(texts)} if texts and len(texts) == len(parts) else message


def name_of(tool: Message) -> str:
    """A tool's name, as a request in the chat dialect offers it."""
    return str((tool.get("function") or tool).get("name", ""))


def _own(name: str) -> str:
    return _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name


def _renamed(call: Any, rename: Callable[[str], str]) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "name" not in function:
        return call
    return {**call, "function": {**function, "name": rename(str(function["name"]))}}
