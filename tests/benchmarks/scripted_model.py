"""A model behind HTTP that costs next to nothing: raw asyncio protocols, answers made beforehand. Runs as a process of its own.

It answers a chat completion with the same words, or, while the request holds fewer than `--tool-calls` tool results, with a call of
`--tool`. A request with `"stream":true` (near its beginning or end) gets `--chunks` events, written at once, or 2 ms apart for the model named `paced`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

import uvloop
from conversations import REPLY, REPLY_TEXT

_PACE = 0.002
_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_USAGE = b'"usage":{"prompt_tokens":500,"completion_tokens":60,"total_tokens":560}'
_CHUNK = (
    b'{"id":"chatcmpl-scripted","object":"chat.completion.chunk","created":1700000000,"model":"scripted",'
    b'"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)


class Answers:
    """Every answer that there is, as the bytes to be written."""

    def __init__(self, tool: str, tool_calls: int, chunks: int) -> None:
        self.tool_calls = tool_calls
        self.final = _whole(REPLY, b"stop")
        self.calls = [_whole(_calling(tool, turn), b"tool_calls") for turn in range(tool_calls)]
        self.events = _events(chunks)

    def to(self, body: bytes) -> bytes:
        if not self.tool_calls:
            return self.final
        turn = body.count(b'"tool_call_id"')
        return self.calls[turn] if turn < self.tool_calls else self.final


def _whole(message: bytes, finish: bytes) -> bytes:
    body = (
        b'{"id":"chatcmpl-scripted","object":"chat.completion","created":1700000000,"model":"scripted","choices":'
        b'[{"index":0,"message":%s,"finish_reason":"%s"}],%s}' % (message, finish, _USAGE)
    )
    return _JSON_HEAD % len(body) + body


def _calling(tool: str, turn: int) -> bytes:
    arguments = json.dumps(json.dumps({"query": f"the tides of turn {turn}"})).encode()
    return (
        b'{"role":"assistant","content":null,"tool_calls":[{"id":"call_%d","type":"function",'
        b'"function":{"name":"%s","arguments":%s}}]}' % (turn, tool.encode(), arguments)
    )


def _events(chunks: int) -> list[bytes]:
    words = REPLY_TEXT.split(b" ")
    deltas = [b'{"content":"%s "}' % words[n % len(words)] for n in range(chunks - 2)]
    payloads = [
        _CHUNK % (b'{"role":"assistant","content":""}', b"null"),
        *(_CHUNK % (delta, b"null") for delta in deltas),
        _CHUNK % (b"{}", b'"stop"'),
        b"[DONE]",
    ]
    framed = [b"data: " + payload + b"\n\n" for payload in payloads]
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
            body = bytes(self._buffer[self._body_at : self._needed])
            del self._buffer[: self._needed]
            self._needed = 0
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
        if b'"stream":true' not in edges and b'"stream": true' not in edges:
            self._transport.write(self._answers.to(body))
        elif b'"paced"' in edges:
            self._pace(0)
        else:
            self._transport.write(b"".join(self._answers.events))

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
