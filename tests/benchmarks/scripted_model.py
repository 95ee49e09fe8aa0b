"""A model behind HTTP that costs next to nothing: raw asyncio protocols, ready-made answers, a process of its own.

It answers in the dialect of the path with the same words, or, in chat while the request holds fewer than `--tool-calls`
tool results, with a call of `--tool`. A request for a stream (`"stream":true` near its beginning or end, or as the path
says) gets `--chunks` events, written at once, or 2 ms apart where it is told to answer slowly. Any GET gets the list of
models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import uvloop

from conversations import PACED, REPLY_TEXT
from dialects import CHAT, SPOKEN, Spoken, chat_chunk, chat_completion, spoken_at

_PACE = 0.002
_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_MODELS = (
    b'{"object":"list","data":[{"id":"scripted","object":"model","created":1700000000,"owned_by":"nobody",'
    b'"context_length":1000000}]}'
)
_LISTING = _JSON_HEAD % len(_MODELS) + _MODELS
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Answers:
    """Every answer that there is in one dialect, as the bytes to be written."""

    def __init__(self, spoken: Spoken, tool: str, tool_calls: int, chunks: int) -> None:
        self.tool_calls = tool_calls
        self.events = _stream(_events(spoken, chunks))
        calling = [_calling(tool, turn) for turn in range(tool_calls)]
        answers = [
            json.dumps(chat_completion({"content": None, "tool_calls": [call]}, "tool_calls")) for call in calling
        ]
        self._whole = [*(_whole(answer.encode()) for answer in answers), _whole(spoken.answer(REPLY_TEXT))]
        streams = [_stream(_calling_events(call)) for call in calling]
        self._count = 0
        self._streamed = [b"".join(events) for events in [*streams, self.events]]

    def to(self, body: bytes, *, stream: bool) -> bytes:
        turn = min(self.tool_calls, body.count(b'"tool_call_id"')) if self.tool_calls else 0
        if stream:
            return self._streamed[turn]
        self._count += 1
        return self._whole[turn].replace(b"-00000000", b"-%08d" % self._count, 1)


def _whole(body: bytes) -> bytes:
    return _JSON_HEAD % len(body) + body


def _calling(tool: str, turn: int) -> dict[str, Any]:
    arguments = json.dumps({"query": f"the tides of turn {turn}"})
    return {"id": f"call_{turn}", "type": "function", "function": {"name": tool, "arguments": arguments}}


def _calling_events(call: dict[str, Any]) -> list[bytes]:
    delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
    return [CHAT.event(payload) for payload in (chat_chunk(delta), chat_chunk({}, "tool_calls"), "[DONE]")]


def _events(spoken: Spoken, count: int) -> list[bytes]:
    """So many events, most of them with one word."""
    all_words = REPLY_TEXT.split(b" ")
    words = [all_words[n % len(all_words)] + b" " for n in range(count - len(spoken.before) - len(spoken.after))]
    said = b"".join(words)
    return [
        *map(spoken.event, spoken.before),
        *(spoken.event(spoken.word, word) for word in words),
        *(spoken.event(payload, said) for payload in spoken.after),
    ]


def _stream(events: list[bytes]) -> list[bytes]:
    """A stream's events, each as what is written at once; the first with the response's head."""
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    chunks[0], chunks[-1] = _STREAM_HEAD + chunks[0], chunks[-1] + b"0\r\n\r\n"
    return chunks


class Connection(asyncio.Protocol):
    """One client: reads a request by its Content-Length, answers, reads the next."""

    def __init__(self, answers: Mapping[str, Answers]) -> None:
        self._answers = answers
        self._events: list[bytes] = []
        self._buffer = bytearray()
        self._needed = 0
        self._body_at = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._complete():
            listing = self._buffer.startswith(b"GET ")
            body = bytes(self._buffer[self._body_at : self._needed])
            target = self._buffer[: self._buffer.index(b" HTTP/")].partition(b" ")[2].decode()
            del self._buffer[: self._needed]
            self._needed = 0
            if listing:
                cast(asyncio.Transport, self._transport).write(_LISTING)
            else:
                self._answer(target, body)

    def _complete(self) -> bool:
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self._buffer[:end]).lower()
            _, found, rest = head.partition(b"content-length:")
            self._body_at = end + 4
            self._needed = self._body_at + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
        return len(self._buffer) >= self._needed

    def _answer(self, target: str, body: bytes) -> None:
        assert self._transport is not None
        answers = self._answers[spoken_at(target)]
        edges = body[:300] + body[-300:]
        stream = b'"stream":true' in edges or b'"stream": true' in edges or ":streamGenerate" in target
        if stream and PACED in body:
            self._events = answers.events
            self._pace(0)
        else:
            self._transport.write(answers.to(body, stream=stream))

    def _pace(self, position: int) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(self._events[position])
        if position + 1 < len(self._events):
            asyncio.get_running_loop().call_later(_PACE, self._pace, position + 1)


async def serve(answers: Mapping[str, Answers]) -> None:
    """Until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    print(json.dumps({"url": f"http://{host}:{port}", "host": host, "port": port}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tool", default="search")
    parser.add_argument("--tool-calls", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=200)
    arguments = parser.parse_args()
    answers = {
        name: Answers(spoken, arguments.tool, arguments.tool_calls if spoken is CHAT else 0, arguments.chunks)
        for name, spoken in SPOKEN.items()
    }
    uvloop.run(serve(answers))


if __name__ == "__main__":
    main()
