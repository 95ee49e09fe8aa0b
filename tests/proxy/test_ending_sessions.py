"""How sessions end: decided at once, written once, known to other gateways; and how idle ones leave memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from mcp.server import MCPServer

from drawbar.environment import Environment
from drawbar.errors import StoreError
from drawbar.record.rows import Row, SessionRow
from drawbar.record.store import Store
from drawbar.server import PythonServer
from drawbar.task import Limits

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


async def test_a_call_under_way_at_the_end_does_not_change_why_the_session_ended(
    house: House, provider: Provider
) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session()
    under_way = asyncio.create_task(house.post(session, ASK))
    await asked.wait()
    await house.gateway.end(session.id, stop="completed")
    await under_way
    assert (await house.trajectory(session)).stop == "completed"


async def test_an_agent_that_leaves_its_last_call_has_not_failed_for_that(house: House, provider: Provider) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session()
    leaving = asyncio.create_task(house.post(session, ASK))
    await asked.wait()
    leaving.cancel()
    await provider.left.wait()
    await session.idle.wait()
    await house.gateway.end(session.id, stop="completed")
    trajectory = await house.trajectory(session)
    assert ([call.cause for call in trajectory.calls], trajectory.stop) == (["client_left"], "completed")


def slow_to_close(closing: asyncio.Event, go_on: asyncio.Event) -> Environment:
    """An environment whose session-scoped server takes its time to end."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        closing.set()
        await go_on.wait()

    def made() -> MCPServer[Any]:
        server: MCPServer[Any] = MCPServer("s", lifespan=lifespan, subscriptions=False, log_level="WARNING")
        server.add_tool(lambda: "x", name="tool")
        return server

    return Environment(name="e", servers={"s": PythonServer(server=made, scope="session")})


async def test_nothing_begins_while_a_session_is_being_ended(serve: MakeHouse, provider: Provider) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()
    async with serve(environments={"e": slow_to_close(closing, go_on)}) as house:
        session = await house.session(environment="e")
        ending = asyncio.create_task(house.gateway.end(session.id, stop="completed"))
        await closing.wait()
        assert (await house.post(session, ASK)).status == 409
        path = f"/s/{session.key}/mcp"
        assert (await house.post(None, LIST, path=path, headers={"content-type": "application/json"})).status == 409
        go_on.set()
        await ending
        assert provider.raw == []
        assert not (await house.trajectory(session)).calls


async def test_of_two_ends_at_once_the_first_counts_and_both_wait_for_it(serve: MakeHouse) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()
    async with serve(environments={"e": slow_to_close(closing, go_on)}) as house:
        session = await house.session(environment="e")
        first = asyncio.create_task(house.gateway.end(session.id, stop="agent_failed", error="gave up"))
        await closing.wait()
        second = asyncio.create_task(house.gateway.end(session.id, stop="completed"))
        go_on.set()
        await asyncio.gather(first, second)
        trajectory = await house.trajectory(session)
        assert (trajectory.status, trajectory.stop) == ("ended", "agent_failed")


async def test_a_body_that_comes_after_the_end_asks_nobody(house: House, provider: Provider) -> None:
    session = await house.session()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]))
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    head = f"POST /s/{session.key}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + b"expect: 100-continue\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"  # the gateway waits for the body
    await house.gateway.end(session.id, stop="completed")
    writer.write(body)
    assert await reader.readline() == b"\r\n"
    assert (await reader.readline()).startswith(b"HTTP/1.1 409")
    writer.close()
    assert provider.raw == []


async def test_an_end_that_could_not_be_recorded_can_be_recorded_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.session()
    commit = house.gateway.recorder.commit

    async def full(*rows: Row) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(house.gateway.recorder, "commit", full)
    with pytest.raises(StoreError):
        await house.gateway.end(session.id, stop="agent_failed")
    monkeypatch.setattr(house.gateway.recorder, "commit", commit)
    assert (await house.post(session, ASK)).status == 409
    await house.gateway.end(session.id, stop="completed")
    trajectory = await house.trajectory(session)
    assert (trajectory.status, trajectory.stop) == ("ended", "agent_failed")


async def test_a_session_that_another_gateway_ended_is_over_here_too(
    serve: MakeHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawbar.proxy.registry._TRUSTED", 0)
    async with serve() as one, serve(store=Store.open(tmp_path / "test.db")) as other:
        session = await one.session()
        assert (await other.post(session, ASK)).status == 200
        await one.gateway.end(session.id, stop="agent_failed")
        response = await other.post(session, ASK)
        assert (response.status, (await response.json())["error"]["code"]) == (409, "agent_failed")
        assert list(other.gateway.sessions) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are idle as soon as nobody asks."""
    monkeypatch.setattr("drawbar.proxy.registry._TRUSTED", 0)
    monkeypatch.setattr("drawbar.proxy.registry._IDLE", 0)


@pytest.mark.usefixtures("impatient")
async def test_a_session_that_is_long_idle_leaves_memory_and_comes_back_as_it_was(house: House) -> None:
    session = await house.session(limits=Limits(turns=2))
    await house.post(session, ASK)
    await house.session()
    assert session not in list(house.gateway.sessions)
    assert (await house.post(session, ASK)).status == 200
    response = await house.post(session, ASK)
    assert (response.status, (await response.json())["error"]["code"]) == (409, "limit_turns")


@pytest.mark.usefixtures("impatient")
async def test_a_session_with_a_server_of_its_own_stays(serve: MakeHouse) -> None:
    never = asyncio.Event()
    never.set()
    async with serve(environments={"e": slow_to_close(asyncio.Event(), never)}) as house:
        session = await house.session(environment="e")
        await house.session()
        assert session in list(house.gateway.sessions)
        await house.gateway.end(session.id, stop="completed")


async def test_a_session_whose_settings_were_redacted_can_still_be_found(serve: MakeHouse) -> None:
    async with serve() as house:
        session = await house.session()
        row: SessionRow | None = house.gateway.store.session(session.id)
        assert row is not None
        redacted = SessionRow(
            id=row.id, key_digest=row.key_digest, config=b"***", metadata=b"***", task=b"***", started=row.started
        )
        await house.gateway.record(redacted)
    async with serve() as house:
        assert (await house.post(session, ASK)).status == 200
        await house.gateway.end(session.id, stop="completed", metadata={"a": 1})


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        ("claude-cli/2.1", 409),
        ("google-genai-sdk/3.4.0", 409),
        ("opencode/1.18 ai-sdk/provider-utils/4.0.23", 403),
        ("ai-sdk/openai-compatible/3", 403),
    ],
)
async def test_an_agent_is_told_of_the_end_so_that_it_does_not_ask_again(house: House, agent: str, status: int) -> None:
    session = await house.session(limits=Limits(turns=1))
    headers = {"user-agent": agent}
    assert (await house.post(session, ASK, headers=headers)).status == 200
    limited = await house.post(session, ASK, headers=headers)
    assert (limited.status, limited.headers["x-should-retry"]) == (status, "false")
    assert (await limited.json())["error"]["code"] == "limit_turns"
    await house.gateway.end(session.id, stop="completed")
    ended = await house.post(session, ASK, headers=headers)
    assert (ended.status, (await ended.json())["error"]["code"]) == (status, "limit_turns")


async def test_a_call_under_way_when_the_time_is_up_ends_in_the_agents_terms(house: House, provider: Provider) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    provider.answer = answer
    session = await house.session(limits=Limits(seconds=0.2))
    stopped = await house.post(session, ASK, headers={"user-agent": "ai-sdk/openai/3"})
    assert (stopped.status, (await stopped.json())["error"]["code"]) == (403, "limit_time")
