"""Providers that say what none does: clients get it or a native error, and the record can be read and shown."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.proxy.mutated.in_memory import Line
from tests.proxy.mutated.mutations import Mutator, StreamMutator

from drawbar.proxy.client import JSON

if TYPE_CHECKING:
    from tests.proxy.mutated.conftest import Bench

EVENTS: Final = (b"content-type", b"text/event-stream")
FEW_AND_MANY: Final = [150, pytest.param(3_000, marks=pytest.mark.slow)]
BATCH: Final = 25
OURS: Final = b"gateway itself failed"
STATUSES: Final = (200,) * 60 + (201, 204, 299, 301, 304, 400, 401, 404, 413, 418, 429, 451, 500, 503, 529, 599, 999)
HEADERS: Final = (
    (b"retry-after", b"nan"), (b"retry-after", b"1e400"), (b"retry-after", b"-5"), (b"retry-after", b"\xff"),
    (b"retry-after", b"Mon, 99 Foo 0000 99:99:99 GMT"), (b"retry-after", b"Mon, 01 Jan 0001 00:00:00 +2359"),
    (b"retry-after-ms", b"inf"), (b"content-type", b""), (b"content-type", b"text/html"), (b"x-nul", b"\x00"),
    (b"content-type", b"text/event-stream; charset=\xff"), (b"content-length", b"3"), (b"content-encoding", b"gzip"),
    (b"x-long", b"x" * 100_000), (b"set-cookie", b"a=b"), (b"x-should-retry", b"true"), (b"", b""),
)  # fmt: skip
Lie = tuple[str, Line, dict[str, Any]]
"""A name, what the provider says, and the request that it says it to."""


def asking(dialect: str, *, stream: bool, array: bool = False) -> dict[str, Any]:
    """A request for an answer, or for a stream of this kind."""
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]%b}'
    said = b',"stream":true' if stream else b""
    match dialect:
        case "chat":
            return {"path": "/v1/chat/completions", "body": body % said}
        case "messages":
            return {"path": "/v1/messages", "body": body % said}
        case "responses":
            return {"path": "/v1/responses", "body": b'{"model":"m","input":"hi"%b}' % said}
    method = "streamGenerateContent" if stream else "generateContent"
    query = "" if array or not stream else "alt=sse"
    return {"path": f"/v1beta/models/m:{method}", "body": b'{"contents":[{"parts":[{"text":"hi"}]}]}', "query": query}


def line(rng: random.Random, kind: tuple[bytes, bytes], parts: list[bytes]) -> Line:
    headers = [kind] if rng.random() < 0.97 else []
    headers = [rng.choice(HEADERS), *headers] if rng.random() < 0.1 else headers
    return Line(rng.choice(STATUSES), headers, parts, breaks=rng.random() < 0.05)


def wholes(dialect: str, count: int) -> Iterator[Lie]:
    """Answers with a wrong type in every field, and then whatever the mutator thinks of."""
    mutator = Mutator.of_answers(dialect)
    systematic = list(mutator.wrong_types())
    random.Random(dialect).shuffle(systematic)
    for at, body in enumerate(systematic[: count // 3]):
        yield f"{dialect} type {at}", Line(headers=[JSON], parts=[body]), asking(dialect, stream=False)
    for at in itertools.count():
        rng = random.Random(f"{dialect}{at}")
        said = line(rng, JSON, [mutator.body(rng)])
        yield f"{dialect} seed {at}", said, asking(dialect, stream=rng.random() < 0.1)


def streams(dialect: str, _count: int) -> Iterator[Lie]:
    mutator = StreamMutator(dialect)
    for at in itertools.count():
        rng = random.Random(f"{dialect} {at}")
        array = dialect == "gemini" and at % 3 == 0
        said = line(rng, JSON if array else EVENTS, mutator.parts(rng, array=array))
        yield f"{dialect} stream {at}", said, asking(dialect, stream=rng.random() < 0.95, array=array)


@pytest.mark.parametrize("count", FEW_AND_MANY)
@pytest.mark.parametrize("dialect", ["chat", "responses", "messages", "gemini"])
@pytest.mark.parametrize("kind", [wholes, streams])
async def test_no_answer_is_a_failure_of_ours_or_goes_unrecorded(
    bench: Bench, kind: Any, dialect: str, count: int
) -> None:
    memory = bench.memory(count // BATCH)
    lies = itertools.islice(kind(dialect, count), count)
    while batch := list(itertools.islice(lies, BATCH)):
        bench.liar.lines = {name.encode(): said for name, said, _ in batch}
        asked = [{**request, "headers": [(b"x-line", name.encode())]} for name, _, request in batch]
        _, heard = await bench.turns(asked)
        for (name, said, _), one in zip(batch, heard, strict=True):
            assert OURS not in one.body or OURS in b"".join(said.parts), (name, one.body[-500:])
            assert one.status in (200, 502, said.status), (name, one.status)
        memory.look()
    memory.must_not_have_grown()
    await bench.still_works()
