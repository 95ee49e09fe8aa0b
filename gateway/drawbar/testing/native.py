"""What a scripted server is asked and answers, in whichever dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from drawbar.testing.script import Message
from drawbar.wire import TRANSLATORS
from drawbar.wire.route import Route, read_route
from drawbar.wire.tolerant import dump, load_object
from drawbar.wire.translator import Chat, Said

_PATH: Final = re.compile(
    r"/(?:.*?/)?(chat/completions|responses|messages(?:/count_tokens)?|v[0-9][a-z0-9]*/.+:[A-Za-z]+)"
)
_NAMES: Final = ("previous_response_id", "conversation")


def route_of(path: str, query: str) -> Route | None:
    """The route that a path ends in, whatever stands before it; None when no model is asked there."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    return read_route(f"/{found[1]}" if ":" in found[1] else f"/v1/{found[1]}", query)


class Scripted:
    """One request to a scripted model."""

    def __init__(self, route: Route, raw: bytes, kept: Mapping[str, Sequence[Message]]) -> None:
        """`kept`: conversations that requests go on from, by the names of their last answers."""
        self.route = route
        self.raw = raw
        body = load_object(raw, "the request")
        self._translator = TRANSLATORS[route.dialect.name]
        before = next((kept[body[name]] for name in _NAMES if body.get(name) in kept), ())
        asked = self._translator.chat(dump({key: value for key, value in body.items() if key not in _NAMES}))
        self.asked = Chat([*before, *asked.messages], asked.tools, asked.names)
        self.model = str(body.get("model") if route.url is None else route.url.model)
        self.stream = bool(body.get("stream")) if route.url is None else route.url.stream
        self.body = body if route.dialect.name == "chat" else self._as_chat()

    def _as_chat(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "stream": self.stream,
            "messages": list(self.asked.messages),
            "tools": list(self.asked.tools),
        }

    def answer(self, message: Message, id: str) -> dict[str, Any]:
        """The native answer that carries this reply. Token counts grow with the text: a quarter of its bytes."""
        prompt, completion = len(orjson.dumps(self.body["messages"])) // 4, len(orjson.dumps(message)) // 4
        return self._translator.answer(Said(message, self.model, prompt, completion, id, 1_700_000_000), self.asked)

    def pieces(self, answer: Mapping[str, Any]) -> list[bytes]:
        """The same as the pieces of a stream."""
        payloads = self._translator.events(answer, self.raw)
        ends = len(payloads) - 1
        framing = self.route.framing
        return [framing.written([it], first=not at, last=at == ends) for at, it in enumerate(payloads)]

    def count(self) -> bytes:
        """The native count of the request's tokens."""
        return self._translator.count(len(orjson.dumps(self.body["messages"])) // 4)
