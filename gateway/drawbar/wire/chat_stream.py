"""Streams of the `chat` dialect: chunks put together again into the completion that they are pieces of.

Unknown fields of a delta are kept by one rule, which `growing` has.
"""

from __future__ import annotations

from typing import Any

from drawbar.wire.chat_usage import usage
from drawbar.wire.dialect import BadBody, Response
from drawbar.wire.growing import Growing
from drawbar.wire.tolerant import dump, load_message


class ChatAssembler:
    """Puts a chat completion together from its chunks."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        """The choices that have not ended."""
        self._messages: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, list[dict[str, Any]]] = {}
        self._growing = Growing()
        self._error: str | None = None
        self._done = False

    def feed(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            self._done = True
            return False
        try:
            chunk = load_message(data)
        except BadBody as error:
            self._error = f"an event of the stream cannot be read: {error}"
            return False
        if not isinstance(chunk, dict):
            return False
        choices = chunk.pop("choices", None)
        for key, value in chunk.items():
            if value is not None or key not in self._top:
                self._top[key] = value
        if chunk.get("error") is not None:
            self._error = _said(chunk["error"])
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice)
        return not choices and isinstance(chunk.get("usage"), dict)

    def _choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        delta = choice.pop("delta", None)
        kept = self._choices.get(index)
        if kept is None:
            kept = self._choices[index] = choice
            self._open.add(index)
        else:
            self._growing.merge(kept, choice, grow=False)
        if kept.get("finish_reason"):
            self._open.discard(index)
        if not isinstance(delta, dict):
            return
        calls = delta.pop("tool_calls", None)
        message = self._messages.get(index)
        if message is None:
            self._messages[index] = delta
        else:
            self._growing.merge(message, delta)
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(self._calls.setdefault(index, []), call)

    def _call(self, calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
        """By index. Some providers give none, or 0 for every call: a new id with a name begins a new call there."""
        known = _find(calls, piece)
        if known is None:
            calls.append(
                {**piece, "function": dict(piece["function"])} if isinstance(piece.get("function"), dict) else piece
            )
            return
        function = piece.pop("function", None)
        self._growing.merge(known, piece)
        if not isinstance(function, dict):
            return
        so_far = known.get("function")
        if not isinstance(so_far, dict):
            known["function"] = function
            return
        if function.get("name") == so_far.get("name"):
            function.pop("name", None)
        self._growing.merge(so_far, function)

    @property
    def ended(self) -> bool:
        return self._done or (not self._open and bool(self._choices))

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> str | None:
        return self._error

    def response(self) -> Response:
        self._growing.settle()
        messages = {index: self._message(index) for index in self._choices}
        first = messages.pop(0, None)
        envelope: dict[str, Any] = {
            **self._top,
            "choices": [
                {**choice, "message": messages[index]} if index in messages else choice
                for index, choice in sorted(self._choices.items())
            ],
        }
        finish = self._choices.get(0, {}).get("finish_reason")
        return Response(
            message=None if first is None else dump(first),
            finish=finish if isinstance(finish, str) else None,
            usage=usage(self._top.get("usage")),
            envelope=dump(envelope),
        )

    def _message(self, index: int) -> dict[str, Any]:
        """As the same reply would have come without streaming."""
        message = {"role": "assistant", "content": None, **self._messages.get(index, {})}
        if calls := self._calls.get(index):
            message["tool_calls"] = [{key: v for key, v in call.items() if key != "index"} for call in calls]
        return message


def _find(calls: list[dict[str, Any]], piece: dict[str, Any]) -> dict[str, Any] | None:
    id, index = piece.get("id"), piece.get("index")
    function = piece.get("function")
    named = isinstance(function, dict) and bool(function.get("name"))
    for call in reversed(calls):
        if index is not None and call.get("index") != index:
            continue
        starts = bool(id) and named and call.get("id") != id
        return None if starts else call
    return None


def _said(error: Any) -> str:
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else dump(error).decode("utf-8", "replace")
