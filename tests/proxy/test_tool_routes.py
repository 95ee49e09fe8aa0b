"""The gateway's MCP routes lead to the tool side of the right session."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from drawbar.environment import Environment
from drawbar.errors import ToolServerError
from drawbar.proxy.live import LiveSessions
from drawbar.proxy.settings import Settings
from drawbar.server import CommandServer
from drawbar.sessions import SessionSpec

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse, Provider


async def double(number: int) -> str:
    """Twice the number."""
    return str(2 * number)


WIKI = Environment(name="wiki", tools=[double])


async def mcp(house: House, path: str, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    response = await house.post(None, body, path=path, headers=headers)
    return response.status, json.loads(await response.read())


async def test_a_sessions_url_serves_its_environments_tools(serve: MakeHouse) -> None:
    async with serve(environments={"wiki": WIKI}) as house:
        session = await house.session(environment="wiki")
        _, listed = await mcp(house, f"/s/{session.key}/mcp", "tools/list")
        assert [tool["name"] for tool in listed["result"]["tools"]] == ["double"]
        _, answer = await mcp(house, f"/s/{session.key}/mcp", "tools/call", name="double", arguments={"number": 21})
        assert answer["result"]["content"][0]["text"] == "42"
        (call,) = (await house.trajectory(session)).tool_calls
        assert (call.name, call.arguments, call.text) == ("double", {"number": 21}, "42")


async def test_live_agents_share_an_environments_url(serve: MakeHouse) -> None:
    async with serve(environments={"wiki": WIKI}) as house:
        for number in (1, 2):
            _, answer = await mcp(house, "/mcp/wiki", "tools/call", name="double", arguments={"number": number})
            assert answer["result"]["content"][0]["text"] == str(2 * number)
        await house.gateway.recorder.commit()
        (row,) = house.gateway.store.sessions()
        assert (row.environment, row.status) == ("wiki", "open")
    assert row.key_digest is not None


def asks_for(provider: Provider, *numbers: int) -> dict[str, Any]:
    """A completion that wants these numbers doubled."""
    found: dict[str, Any] = provider.completion("")
    found["choices"][0]["message"]["tool_calls"] = [
        {"id": f"c{n}", "type": "function", "function": {"name": "wiki_double", "arguments": json.dumps({"number": n})}}
        for n in numbers
    ]
    return found


async def test_a_tool_call_of_a_live_agent_is_recorded_where_its_model_asked_for_it(
    serve: MakeHouse, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(asks_for(provider, int(body["messages"][0]["content"]), 7))

    provider.answer = answer
    async with serve(environments={"wiki": WIKI}) as house:
        for number in (1, 2):
            await house.post(None, {"model": "m", "messages": [{"role": "user", "content": str(number)}]})
        for number in (1, 2, 7, 7, 7):
            await mcp(house, "/mcp/wiki", "tools/call", name="double", arguments={"number": number})
        await house.gateway.recorder.commit()
        trajectories = [house.gateway.store.trajectory(row.id) for row in house.gateway.store.sessions()]
    told = {(t.origin, t.environment, *(call.arguments["number"] for call in t.tool_calls)) for t in trajectories}
    assert told == {("content", "wiki", 1, 7), ("content", "wiki", 2, 7), ("opened", "wiki", 7)}
    for trajectory in trajectories:
        joined = [call.tool_use_id for call in trajectory.tool_calls if trajectory.origin == "content"]
        assert joined == [f"c{call.arguments['number']}" for call in trajectory.tool_calls][: len(joined)]


async def test_a_tool_call_that_a_model_makes_through_another_tool_is_recorded_where_it_asked_for_it(
    serve: MakeHouse, provider: Provider
) -> None:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        completion = asks_for(provider, 5)
        through = {"name": "mcp__wiki__double", "arguments": {"number": 5}}
        completion["choices"][0]["message"]["tool_calls"][0]["function"] = {
            "name": "tool_call", "arguments": json.dumps(through),
        }  # fmt: skip
        return web.json_response(completion)

    provider.answer = answer
    async with serve(environments={"wiki": WIKI}) as house:
        await house.post(None, {"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        await mcp(house, "/mcp/wiki", "tools/call", name="double", arguments={"number": 5})
        await house.gateway.recorder.commit()
        trajectories = [house.gateway.store.trajectory(row.id) for row in house.gateway.store.sessions()]
    assert {t.origin: [call.tool_use_id for call in t.tool_calls] for t in trajectories} == {
        "content": ["c5"], "opened": [],
    }  # fmt: skip


async def test_a_tool_call_that_comes_before_the_reply_has_ended_waits_for_it(
    serve: MakeHouse, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, called = asyncio.Event(), asyncio.Event()
    claim = LiveSessions.claim

    async def seen(*arguments: Any) -> Any:
        called.set()
        return await claim(*arguments)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked.set()
        await called.wait()
        return web.json_response(asks_for(provider, 5))

    provider.answer = answer
    monkeypatch.setattr(LiveSessions, "claim", seen)
    async with serve(environments={"wiki": WIKI}) as house:
        hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        asking = asyncio.create_task(house.post(None, hi))
        await asked.wait()
        await mcp(house, "/mcp/wiki", "tools/call", name="double", arguments={"number": 5})
        await asking
        await house.gateway.recorder.commit()
        trajectories = [house.gateway.store.trajectory(row.id) for row in house.gateway.store.sessions()]
    assert {t.origin: len(t.tool_calls) for t in trajectories} == {"content": 1, "opened": 0}


async def test_an_ended_sessions_url_answers_409_and_an_unknown_one_401(serve: MakeHouse) -> None:
    async with serve(environments={"wiki": WIKI}) as house:
        session = await house.session(environment="wiki")
        await house.gateway.end(session.id, stop="completed")
        assert (await mcp(house, f"/s/{session.key}/mcp", "tools/list"))[0] == 409
        assert (await mcp(house, "/s/dbk_none/mcp", "tools/list"))[0] == 401
        assert (await mcp(house, "/mcp/none", "tools/list"))[0] == 404


async def test_live_agents_need_a_key_where_clients_do(serve: MakeHouse) -> None:
    async with serve(environments={"wiki": WIKI}, settings=Settings(keys=frozenset({"k"}))) as house:
        assert (await mcp(house, "/mcp/wiki", "tools/list"))[0] == 401


async def test_a_session_whose_tools_cannot_be_had_ends_so(serve: MakeHouse) -> None:
    broken = Environment(name="broken", servers={"gone": CommandServer(command=["/nonexistent/server"])})
    async with serve(environments={"broken": broken}) as house:
        with pytest.raises(ToolServerError):
            await house.gateway.open(SessionSpec(environment="broken"))
        await house.gateway.recorder.commit()
        (row,) = house.gateway.store.sessions()
        assert (row.status, row.stop) == ("ended", "tool_server_failed")
        assert row.error
