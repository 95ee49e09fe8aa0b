"""A model behind HTTP that costs next to nothing: raw asyncio protocols, ready-made answers, a process of its own.

It answers a chat completion with the same words, or, while the request holds fewer than `--tool-calls` tool results,
with a call of `--tool`. A request with `"stream":true` (near its beginning or end) gets `--chunks` events, written at
once, or 2 ms apart where it is told to answer slowly. Any GET gets the list of models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

import uvloop

from conversations import PACED, REPLY, REPLY_TEXT

_PACE = 0.002
_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_MODELS = (
    b'{"object":"list","data":[{"id":"scripted","object":"model","created":1700000000,"owned_by":"nobody",'
    b'"context_length":1000000}]}'
)
_LISTING = _JSON_HEAD % len(_MODELS) + _MODELS
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_USAGE = b'"usage":{"prompt_tokens":500,"completion_tokens":60,"total_tokens":560}'
_CHUNK = (
    b'{"id":"chatcmpl-scripted","object":"chat.completion.chunk","created":1700000000,"model":"scripted",'
    b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)
_CALL = b'{"role":"assistant","content":null,"tool_calls":[{%s}]}'
_CALL_DELTA = b'{"role":"assistant","content":null,"tool_calls":[{"index":0,%s}]}'


class Answers:
    """Every answer that there is, as the bytes to be written."""

    def __init__(self, tool: str, tool_calls: int, chunks: int) -> None:
        self.tool_calls = tool_calls
        self.events = _stream([b'{"role":"assistant","content":""}', *_words(chunks - 3)], b"stop")
        calling = [_calling(tool, turn) for turn in range(tool_calls)]
        self._whole = [*(_whole(_CALL % call, b"tool_calls") for call in calling), _whole(REPLY, b"stop")]
        streams = [_stream([_CALL_DELTA % call], b"tool_calls") for call in calling]
        self._count = 0
        self._streamed = [b"".join(events) for events in [*streams, self.events]]

    def to(self, body: bytes, *, stream: bool) -> bytes:
        turn = min(self.tool_calls, body.count(b'"tool_call_id"')) if self.tool_calls else 0
        if stream:
            return self._streamed[turn]
        self._count += 1
        return self._whole[turn].replace(b"-00000000", b"-%08d" % self._count, 1)


def _whole(message: bytes, finish: bytes) -> bytes:
    body = (
        b'{"id":"chatcmpl-00000000","object":"chat.completion","created":1700000000,"model":"scripted","choices":'
        b'[{"index":0,"message":%s,"finish_reason":"%s"}],%s}' % (message, finish, _USAGE)
    )
    return _JSON_HEAD % len(body) + body


def _calling(tool: str, turn: int) -> bytes:
    arguments = json.dumps(json.dumps({"query": f"the tides of turn {turn}"}))
    function = f'{{"name":"{tool}","arguments":{arguments}}}'
    return f'"id":"call_{turn}","type":"function","function":{function}'.encode()


def _words(count: int) -> list[bytes]:
    words = REPLY_TEXT.split(b" ")
    return [b'{"content":"%s "}' % words[n % len(words)] for n in range(count)]


def _stream(deltas: list[bytes], finish: bytes) -> list[bytes]:
    """A stream's events, each as what is written at once; the first with the response's head."""
    chunks = [_CHUNK % (delta, b"null") for delta in deltas]
    framed = [b"data: %s\n\n" % payload for payload in [*chunks, _CHUNK % (b"{}", b'"%s"' % finish), b"[DONE]"]]
    events = [b"%x\r\n%s\r\n" % (len(frame), frame) for frame in framed]
    return [_STREAM_HEAD + events[0], *events[1:-1], events[-1] + b"0\r\n\r\n"]


class Connection(asyncio.Protocol):
    """One client: reads a request by its Content-Length, answers, reads the next."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
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
            del self._buffer[: self._needed]
            self._needed = 0
            if listing:
                cast(asyncio.Transport, self._transport).write(_LISTING)
            else:
                self._answer(body)

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

    def _answer(self, body: bytes) -> None:
        assert self._transport is not None
        edges = body[:300] + body[-300:]
        stream = b'"stream":true' in edges or b'"stream": true' in edges
        if stream and PACED in body:
            self._pace(0)
        else:
            self._transport.write(self._answers.to(body, stream=stream))

    def _pace(self, position: int) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(self._answers.events[position])
        if position + 1 < len(self._answers.events):
            asyncio.get_running_loop().call_later(_PACE, self._pace, position + 1)


async def serve(answers: Answers) -> None:
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
    uvloop.run(serve(Answers(arguments.tool, arguments.tool_calls, arguments.chunks)))


if __name__ == "__main__":
    main()
