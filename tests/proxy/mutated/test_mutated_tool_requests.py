"""MCP requests that no client sends: an answer in JSON-RPC, one row for each tool call, and the endpoint goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.proxy.mutated.in_memory import ask
from tests.proxy.mutated.mutations import Mutator

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.client import JSON
from drawbar.proxy.models import Models
from drawbar.record.store import Store
from drawbar.sessions import SessionSpec

if TYPE_CHECKING:
    import logging

    from tests.proxy.mutated.in_memory import Heard

    from drawbar.proxy.upstream import Headers

MODERN: Final = "2026-07-28"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CLAUDE: Final = {
    "claudecode/toolUseId": "toolu_1",
    "progressToken": "p",
    "callId": "c",
    "sessionId": "s",
    "threadId": "t",
}


def message(method: str, id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


SEEDS: Final = [
    message("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "a", "version": "1"}),
    message("tools/list", cursor="x"),
    message("tools/call", name="look", arguments={"query": "a", "deep": {"list": [1, 2.5, None, True]}}),
    message("tools/call", "id", name="look", arguments={"query": "a"}, _meta=CLAUDE),
    message("tools/call", name="look", arguments={"query": "a"}, _meta=META),
    message("server/discover", _meta=META),
    message("ping"),
    message("resources/list"),
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 1, "result": {}},
]
HEADERS: Final[tuple[Headers, ...]] = (
    (), (), (), ((b"mcp-protocol-version", b"2025-06-18"),), ((b"mcp-protocol-version", MODERN.encode()),),
    ((b"mcp-protocol-version", b"\xff"),), ((b"mcp-protocol-version", MODERN.encode()), (b"mcp-method", b"tools/call"),
    (b"mcp-name", b"look")), ((b"mcp-session-id", b"x" * 5000),), ((b"mcp-name", b"\xff"), (b"mcp-name", b"a")),
    ((b"accept", b"text/event-stream"),), ((b"accept", b"\x00, */*;q=x"),), ((b"last-event-id", b"1"),),
)  # fmt: skip
FEW_AND_MANY: Final = [150, pytest.param(10_000, marks=pytest.mark.slow)]


async def look(query: str, deep: Any = None) -> str:
    """Look something up."""
    return query[:100]


def requests(count: int) -> Iterator[tuple[str, bytes, Headers]]:
    mutator = Mutator(SEEDS)
    systematic = list(mutator.wrong_types())
    random.Random("mcp").shuffle(systematic)
    for at, body in enumerate(systematic[: count // 3]):
        yield f"type {at}", body, HEADERS[at % len(HEADERS)]
    for at in itertools.count():
        rng = random.Random(at)
        yield f"seed {at}", mutator.body(rng), rng.choice(HEADERS)


def answered(heard: Heard) -> bool:
    """Whether the answer is one of the protocol's: none to a notification, else a message or a stream of them."""
    if heard.status == 202:
        return not heard.body
    if heard.headers[b"content-type"] == b"text/event-stream":
        said = [json.loads(line[6:]) for line in heard.body.splitlines() if line.startswith(b"data: ")]
    else:
        said = [json.loads(heard.body)]
    return bool(said) and all(one["jsonrpc"] == "2.0" for one in said)


@pytest.mark.parametrize("count", FEW_AND_MANY)
async def test_no_tool_request_is_a_failure_of_ours_or_goes_unrecorded(
    errors: list[logging.LogRecord], tmp_path: Path, count: int
) -> None:
    environments = {"e": Environment(name="e", tools=[look])}
    async with Gateway(Store.open(tmp_path / "tools.db"), Models(), environments=environments) as gateway:
        asked = itertools.islice(requests(count), count)
        while batch := list(itertools.islice(asked, 25)):
            session = await gateway.open(SessionSpec(environment="e"))
            path = f"/s/{session.key}/mcp"
            heard = await asyncio.gather(
                *(ask(gateway, path, body, headers=[JSON, *headers]) for _, body, headers in batch)
            )
            for (name, body, _), said in zip(batch, heard, strict=True):
                assert said.status in (200, 202, 400, 404), (name, said.status, said.body[:300], body[:300])
                assert answered(said), (name, said, body[:300])
                assert b"-32603" not in said.body, (name, said.body[:300], body[:300])
            good = message("tools/call", 7, name="look", arguments={"query": "still here"})
            said = await ask(gateway, path, json.dumps(good).encode(), headers=[JSON])
            assert (said.status, b"still here" in said.body) == (200, True)
            await gateway.end(session.id, stop="completed")
            calls = gateway.store.trajectory(session.id).tool_calls
            assert calls[-1].text == "still here"
            assert all(call.ended is not None for call in calls)
            assert not errors, (batch[0][0], errors[0].getMessage())
