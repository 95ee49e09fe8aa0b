"""The gateway's MCP routes lead to the tool side of the right session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from drawbar.environment import Environment
from drawbar.errors import ToolServerError
from drawbar.proxy.settings import Settings
from drawbar.server import CommandServer
from drawbar.sessions import SessionSpec

if TYPE_CHECKING:
    from tests.proxy.conftest import House, MakeHouse


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
