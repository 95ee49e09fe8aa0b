"""What a model was offered with a request: its tools as chat completions define them, whatever dialect offered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from orjson import Fragment

from drawbar.wire import TRANSLATORS
from drawbar.wire.dialect import BadBody
from drawbar.wire.tolerant import dump, load

_ASKED: Final = {"role": "user", "content": "?", "parts": [{"text": "?"}]}
_BODY: Final = {"model": "m", "max_tokens": 1, "messages": [_ASKED], "input": "?", "contents": [_ASKED]}
"""The least that is a request, in every dialect."""


@dataclass(frozen=True)
class Offered:
    """A request's tools."""

    tools: Sequence[Mapping[str, Any]] = ()
    """Definitions of functions."""
    texts: frozenset[str] = frozenset()
    """The tools that took a plain text in their dialect: here they are functions with one argument, `input`."""
    lost: Sequence[str] = ()
    """Tools that only their provider can run, in words."""

    @cached_property
    def text(self) -> str:
        """The definitions as a JSON text: many conversations have the same ones."""
        return dump(self.tools).decode("utf-8", "replace")

    @cached_property
    def functions(self) -> str:
        """The same, of the functions alone."""
        return dump([tool["function"] for tool in self.tools]).decode("utf-8", "replace")


def offered(dialect: str, tools: bytes | None) -> Offered:
    """The tools of a request, as the record keeps them. Raises `BadBody`."""
    if tools is None:
        return Offered()
    try:
        chat = TRANSLATORS[dialect].chat(dump({**_BODY, "tools": Fragment(tools)}))
    except KeyError as error:
        raise BadBody(f"there is no dialect {dialect!r}") from error
    given = [tool for tool in chat.tools if isinstance(tool, dict)]
    functions = [it for tool in given if isinstance(it := tool.get("function"), dict)]
    others = [f"a tool of type {tool.get('type')}" for tool in given if not isinstance(tool.get("function"), dict)]
    texts = frozenset(name for name, known in chat.names.items() if known.get("kind") == "custom")
    return Offered([{"type": "function", "function": it} for it in functions], texts, (*chat.lost, *others))


def parallel_allowed(envelope: bytes | None) -> bool | None:
    """Whether a request let the model call several tools at once; None: it did not say."""
    try:
        value = load(envelope) if envelope is not None else {}
    except BadBody:
        return None
    fields = value if isinstance(value, dict) else {}
    if isinstance(said := fields.get("parallel_tool_calls"), bool):
        return said
    choice = fields.get("tool_choice")
    forbidden = choice.get("disable_parallel_tool_use") if isinstance(choice, dict) else None
    return not forbidden if isinstance(forbidden, bool) else None
