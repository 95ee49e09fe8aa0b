"""A session that goes on after a restart of its gateway, or at another one, goes on in its cassettes too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from drawbar.environment import Environment
from drawbar.gateway import Gateway
from drawbar.proxy.models import Models
from drawbar.record.rows import ToolCallRow
from drawbar.record.store import Store
from drawbar.server import CassetteServer, PythonServer
from drawbar.serving import serving
from drawbar.sessions import SessionSpec
from drawbar.tools.cassettes.settings import Cassette, Mode

ORDERS = ["paid", "packed", "sent", "there"]


@asynccontextmanager
async def gateway(store_url: str, environment: Environment) -> AsyncIterator[tuple[Gateway, str]]:
    store = Store.open(store_url)
    try:
        models = Models(in_process={})
        async with Gateway(store, models, environments={"shop": environment}) as made, serving(made, grace=0.5) as url:
            yield made, url
    finally:
        store.close()


async def ask(url: str, key: str, order: int = 1) -> str:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "order", "arguments": {"id": order}}}  # fmt: skip
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/s/{key}/mcp", json=body, headers=headers) as response:
        answer = orjson.loads(await response.read())
    return str(answer["result"]["content"][0]["text"])


@pytest.fixture
async def tape(tmp_path: Path) -> Path:
    """What an order's state was, asked four times, and another's, asked once."""
    path, states = tmp_path / "shop.jsonl", iter(ORDERS)

    async def order(id: int) -> str:
        """Where an order is."""
        return next(states) if id == 1 else "lost"

    live = Environment(name="shop", servers={"shop": PythonServer(server=_server(order), record=path)})
    async with gateway(f"sqlite:///{tmp_path / 'recorded.db'}", live) as (made, url):
        session = await made.open(SessionSpec(environment="shop"))
        said = [await ask(url, session.key) for _ in ORDERS]
        said.append(await ask(url, session.key, 2))
        await made.end(session.id, stop="completed")
    assert said == [*ORDERS, "lost"]
    return path


def _server(tool: Any) -> Any:
    from mcp.server import MCPServer

    server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")
    server.add_tool(tool, structured_output=False)
    return server


def replaying(tape: Path, mode: Mode) -> Environment:
    return Environment(name="shop", servers={"shop": CassetteServer(cassette=Cassette(tape, mode=mode))})


@pytest.mark.parametrize("mode", ["strict", "fifo", "by-arguments", "nearest"])
async def test_a_session_gets_the_next_recording_after_a_restart(store_url: str, tape: Path, mode: Mode) -> None:
    async with gateway(store_url, replaying(tape, mode)) as (first, url):
        session = await first.open(SessionSpec(environment="shop"))
        said = [await ask(url, session.key) for _ in range(2)]
        # One that was under way when its gateway was killed: nobody has seen what answers it.
        killed = ToolCallRow(id="tcl_killed", session=session.id, seq=2, server="shop", tool="order", name="order",
                             arguments=b'{"id":1}', started=9e9)  # fmt: skip
        await first.record(killed)
    async with gateway(store_url, replaying(tape, mode)) as (second, url):
        said += [await ask(url, session.key) for _ in range(2)]
        said.append(await ask(url, session.key, 2))
        await second.end(session.id, stop="completed")
        await second.recorder.commit()
        drift = second.store.trajectory(session.id).metadata["cassettes"][0]
    assert said == [*ORDERS, "lost"]
    assert (drift["tools"]["order"]["hits"], drift["unused"]) == (5, 0)


async def test_a_session_that_moves_between_gateways_gets_each_recording_once(postgres_url: str, tape: Path) -> None:
    environment = replaying(tape, "by-arguments")
    async with gateway(postgres_url, environment) as (first, one), gateway(postgres_url, environment) as (_, other):
        session = await first.open(SessionSpec(environment="shop"))
        assert [await ask(url, session.key) for url in (one, other, other, one)] == ORDERS


async def test_a_call_that_was_missed_before_a_restart_is_missed_once(store_url: str, tape: Path) -> None:
    environment = replaying(tape, "by-arguments")
    async with gateway(store_url, environment) as (first, url):
        other = await first.open(SessionSpec(environment="shop"))
        said = [await ask(url, other.key, order) for order in (3, 1)]
        session = await first.open(SessionSpec(environment="shop"))
        assert await ask(url, session.key, 3) == said[0]
        assert "no recorded answer" in said[0]
    async with gateway(store_url, replaying(tape, "by-arguments")) as (second, url):
        assert await ask(url, session.key) == said[1]
        await second.end(session.id, stop="completed")
        await second.recorder.commit()
        trajectory = second.store.trajectory(session.id)
    assert trajectory.stop == "cassette_missed"
    assert trajectory.metadata["cassettes"][0]["tools"]["order"]["misses"] == 1
