"""The load generator: raw asyncio protocols, so that it costs less than what it measures. Runs as a process of its own.

Each connection sends its conversation one request after another. After the warm-up all connections wait for each other;
the CPU of the measured process is read then and again after the last answer, so that connecting and starting are not in
it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import uvloop

from conversations import Conversation, conversation
from dialects import spoken_at
from processes import cpu_seconds, finished

_SETTLE = 0.03
"""Seconds that work left behind by the last answer is given, so that it counts."""
_CONTROL = b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One exchange, as the client saw it."""

    status: int
    seconds: float
    received: bytes
    """Head and body."""

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[2]


class Client(asyncio.Protocol):
    """One connection; one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self._received = bytearray()
        self._needed: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._needed is None:
            self._needed = _length(self._received)
        if self._needed is None:
            return
        complete = self._received.endswith(b"0\r\n\r\n") if self._needed < 0 else len(self._received) >= self._needed
        if complete and self._waiter is not None:
            waiter, self._waiter, self._needed = self._waiter, None, None
            waiter.set_result(bytes(self._received))
            self._received.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None:
            seen = bytes(self._received[:500])
            self._waiter.set_exception(ConnectionError(f"The connection was closed during an exchange: {seen!r}"))

    async def exchange(self, head: bytes, body: bytes) -> Answer:
        """Send a request and wait for the whole answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        self._transport.writelines([head, b"Content-Length: %d\r\n\r\n" % len(body), body])
        received = await self._waiter
        took = time.perf_counter() - begun
        return Answer(int(received[9:12]), took, received)


def _length(received: bytearray) -> int | None:
    """Bytes of the whole response, -1 for a chunked one, None before the head is there."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    _, found, rest = head.partition(b"content-length:")
    return end + 4 + int(rest.split(b"\r\n", 1)[0]) if found else -1


@dataclass(frozen=True, slots=True)
class Job:
    """What one measurement sends."""

    urls: Sequence[str]
    """Of the endpoint; connection n uses number n modulo their count."""
    shape: str
    concurrency: int
    requests: int
    """In all connections together, the warm-up not counted."""
    warmup: int
    """Per connection."""
    keys: Sequence[str] = ()
    """Bearer tokens; connection n uses number n modulo their count."""
    headers: Sequence[str] = ()
    expect: str = '"choices"'
    """What every answer must have in it."""
    turns: int | None = None
    """A session of its own for every so many requests, opened and ended over the control API of the first URL."""
    pid: int | None = None
    """The process whose CPU is read."""


async def generate(job: Job, seed: str) -> dict[str, Any]:
    """Send the job's requests and return what they took."""
    loop = asyncio.get_running_loop()
    connections = []
    for n in range(job.concurrency):
        where = urlsplit(job.urls[n % len(job.urls)])
        _, client = await loop.create_connection(Client, where.hostname or "", where.port or 80)
        said = conversation(job.shape, f"{seed}-{n}", spoken_at(_target(where)))
        connections.append((client, _head(job, n), said))
    send = partial(_send if job.turns is None else _send_in_sessions, job)
    await asyncio.gather(*(send(*connection, job.warmup) for connection in connections))
    before, begun = _cpu(job), time.perf_counter()
    shares = [job.requests // job.concurrency] * job.concurrency
    answers = await asyncio.gather(*(send(*one, share) for one, share in zip(connections, shares, strict=True)))
    took = time.perf_counter() - begun
    await asyncio.sleep(_SETTLE)
    latencies = sorted(seconds for some in answers for seconds in some)
    return {
        "cpu_ms": (_cpu(job) - before) * 1000 / len(latencies),
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "per_second": len(latencies) / took,
    }


def _target(where: SplitResult) -> str:
    return f"{where.path}?{where.query}" if where.query else where.path


def _head(job: Job, number: int) -> bytes:
    where = urlsplit(job.urls[number % len(job.urls)])
    lines = [f"POST {_target(where)} HTTP/1.1", f"Host: {where.netloc}", "Content-Type: application/json", *job.headers]
    if job.keys:
        lines.append(f"Authorization: Bearer {job.keys[number % len(job.keys)]}")
    return "\r\n".join(lines).encode() + b"\r\n"


async def _send(job: Job, client: Client, head: bytes, said: Conversation, count: int) -> list[float]:
    """The seconds that each of so many exchanges took."""
    expected = job.expect.encode()
    seconds = []
    for _ in range(count):
        answer = await client.exchange(head, said.next())
        if answer.status != 200 or expected not in answer.received:
            raise RuntimeError(f"The answer was {answer.status}: {answer.body[:500].decode(errors='replace')}")
        seconds.append(answer.seconds)
    return seconds


async def _send_in_sessions(job: Job, client: Client, head: bytes, said: Conversation, count: int) -> list[float]:
    assert job.turns is not None
    host = urlsplit(job.urls[0]).netloc
    seconds: list[float] = []
    while len(seconds) < count:
        opened = await client.exchange(_CONTROL % (b"/api/sessions", host.encode()), b"{}")
        session = json.loads(opened.body)
        bearer = b"Authorization: Bearer %s\r\n" % session["key"].encode()
        seconds += await _send(job, client, head + bearer, said, min(job.turns, count - len(seconds)))
        ending = b"/api/sessions/%s/end" % session["id"].encode()
        await client.exchange(_CONTROL % (ending, host.encode()), b'{"stop":"completed"}')
    return seconds


def _cpu(job: Job) -> float:
    return 0.0 if job.pid is None else cpu_seconds(job.pid)


_jobs = 0


def measure(job: Job) -> dict[str, float]:
    """Run a job in a process of its own."""
    global _jobs
    _jobs += 1
    fields = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    figures: dict[str, float] = finished("load.py", json.dumps(fields), f"job{_jobs}")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", help="a Job as JSON")
    parser.add_argument("seed", help="makes what is said differ from every other job's")
    arguments = parser.parse_args()
    print(json.dumps(uvloop.run(generate(Job(**json.loads(arguments.job)), arguments.seed))))


if __name__ == "__main__":
    main()
