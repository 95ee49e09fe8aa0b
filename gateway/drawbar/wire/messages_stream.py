"""Streams of the `messages` dialect: events put together again into the message that they are pieces of.

Reference: https://docs.anthropic.com/en/docs/build-with-claude/streaming. What nobody knows is kept: unknown fields of
a delta in its block, where texts and lists grow, objects merge and anything else is replaced; unknown fields of an
event in the envelope; unknown events in the envelope's `stream_events`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from drawbar.wire.dialect import BadBody, Response
from drawbar.wire.growing import Growing
from drawbar.wire.messages_usage import usage
from drawbar.wire.tolerant import dump, load_message

_GROWING: Final = frozenset({"text", "thinking", "partial_json"})
"""What comes in hundreds of pieces: gathered, and joined when the block is read."""
_OF_EVENTS: Final = frozenset({"type", "index", "message", "content_block", "delta", "usage"})
"""Fields of events that have a place of their own in the message."""
_BLOCK_OF: Final = {"input_json_delta": "tool_use", "signature_delta": "thinking", "citations_delta": "text"}
"""The type of block that a delta is of, where the delta's own name does not say it."""


class MessagesAssembler:
    """Puts a message together from the events of its stream."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._blocks: list[_Block] = []
        self._open: dict[int, _Block] = {}
        self._unknown: list[dict[str, Any]] = []
        self._error: str | None = None
        self._stopped = False
        self._done = False

    def feed(self, data: bytes) -> bool:
        """No event of this dialect carries token counts and nothing else."""
        try:
            event = load_message(data)
            if isinstance(event, dict):
                self._take(event)
        except BadBody as error:
            self._error = f"an event of the stream cannot be read: {error}"
        return False

    def _take(self, event: dict[str, Any]) -> None:
        kind, delta = event.get("type"), event.get("delta")
        if kind == "content_block_delta" and isinstance(delta, dict):
            self._block(event.get("index"), delta).add(delta)
        else:
            read = _READERS.get(str(kind))
            if read is not None:
                read(self, event)
            elif "error" in event:  # what stands between may leave out the type
                self._failed(event)
            else:
                self._unknown.append(event)
                return
        if not event.keys() <= _OF_EVENTS:
            self._keep(event)

    def _keep(self, event: dict[str, Any]) -> None:
        """What an event carries beside what its kind is for."""
        for key, value in event.items():
            if key in _OF_EVENTS:
                continue
            known = self._top.get(key)
            if isinstance(known, list) and isinstance(value, list):
                known += value
            elif value is not None or key not in self._top:
                self._top[key] = value

    def _start(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        if not isinstance(message, dict):
            return
        content = message.pop("content", None)
        self._top |= message
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict):
                self._begin(index, block)

    def _block_start(self, event: dict[str, Any]) -> None:
        block, index = event.get("content_block"), event.get("index")
        if isinstance(block, dict):
            self._begin(index if isinstance(index, int) else len(self._blocks), block)
            to = block.get("to")
            if block.get("type") == "fallback" and isinstance(to, dict) and "model" in to:
                self._top["model"] = to["model"]  # the answer is that model's from here on

    def _begin(self, index: int, block: dict[str, Any]) -> None:
        """In the order in which they begin: a provider may count wrongly, and then no block takes another's place."""
        self._open[index] = found = _Block(block)
        self._blocks.append(found)

    def _block(self, index: Any, delta: Mapping[str, Any]) -> _Block:
        """The block that a delta belongs to: the one with its index, or a new one where a provider began none."""
        index = index if isinstance(index, int) else len(self._blocks) - 1
        if index not in self._open:
            kind = str(delta.get("type"))
            self._begin(index, {"type": _BLOCK_OF.get(kind, kind.removesuffix("_delta"))})
        return self._open[index]

    def _message_delta(self, event: dict[str, Any]) -> None:
        """Counts are totals: each replaces the one before it, and one that is left out stays."""
        delta, counts = event.get("delta"), event.get("usage")
        for key, value in delta.items() if isinstance(delta, dict) else ():
            if value is not None or key not in self._top:
                self._top[key] = value
        if isinstance(counts, dict):
            known = self._top.get("usage")
            known = self._top["usage"] = known if isinstance(known, dict) else {}
            known |= {key: value for key, value in counts.items() if value is not None or key not in known}
        self._stopped = self._top.get("stop_reason") is not None

    def _message_stop(self, _event: dict[str, Any]) -> None:
        self._done = True

    def _failed(self, event: dict[str, Any]) -> None:
        error = event.get("error") or event.get("message")
        said = error.get("message") or error.get("type") if isinstance(error, dict) else error
        self._error = said if isinstance(said, str) else dump(event).decode("utf-8", "replace")

    def _ignore(self, _event: dict[str, Any]) -> None:
        """It says only that the stream is alive, or what the next event says too."""

    @property
    def ended(self) -> bool:
        return self._stopped or self._done

    @property
    def done(self) -> bool:
        return self._done

    @property
    def error(self) -> str | None:
        return self._error

    def response(self) -> Response:
        """A stream that was cut before its first block has no message."""
        rest = self._top | ({"stream_events": self._unknown} if self._unknown else {})
        role, finish, id = rest.pop("role", "assistant"), rest.get("stop_reason"), rest.get("id")
        said = {"role": role, "content": [block.whole() for block in self._blocks]}
        return Response(
            message=dump(said) if self._blocks or self.ended else None,
            finish=finish if isinstance(finish, str) else None,
            usage=usage(rest.get("usage")),
            envelope=dump(rest),
            names=(id,) if isinstance(id, str) and id else (),
        )


class _Block:
    """One content block on its way."""

    __slots__ = ("_growing", "_pieces", "_value")

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value
        self._pieces: dict[str, list[str]] = {}
        self._growing = Growing()

    def add(self, delta: Mapping[str, Any]) -> None:
        other: dict[str, Any] = {}
        for key, value in delta.items():
            if key in _GROWING and isinstance(value, str):
                self._pieces.setdefault(key, []).append(value)
            elif key == "citation":
                other["citations"] = [value]
            elif key != "type":
                other[key] = value
        if other:
            self._growing.merge(self._value, other)

    def whole(self) -> dict[str, Any]:
        """As the same block would have come without streaming; an input that was cut off is a text."""
        self._growing.settle()
        value = dict(self._value)
        for key, pieces in self._pieces.items():
            text = "".join(pieces)
            if key == "partial_json":
                if text:
                    value["input"] = _input(text)
            else:
                value[key] = value[key] + text if isinstance(value.get(key), str) else text
        return value


def _input(text: str) -> Any:
    try:
        return load_message(text.encode("utf-8", "surrogatepass"))
    except BadBody:
        return text


_READERS: Final[dict[str, Callable[[MessagesAssembler, dict[str, Any]], None]]] = {
    "message_start": MessagesAssembler._start,
    "content_block_start": MessagesAssembler._block_start,
    "content_block_delta": MessagesAssembler._ignore,
    "content_block_stop": MessagesAssembler._ignore,
    "message_delta": MessagesAssembler._message_delta,
    "message_stop": MessagesAssembler._message_stop,
    "ping": MessagesAssembler._ignore,
    "error": MessagesAssembler._failed,
}
