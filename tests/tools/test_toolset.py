"""Which tools a session has, under which names, and what its servers share with other sessions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError, ToolServerError
from drawbar.server import CommandServer, PythonServer, UrlServer
from drawbar.testing import tool_server

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, Plain


def search(query: str) -> str:
    return f"the wiki on {query}"


def read(page: str) -> str:
    return page


def mail_search(query: str) -> str:
    return query


def other(function_name: str) -> Callable[..., str]:
    def search(query: str) -> str:
        return f"{function_name} on {query}"

    return search


def notebook() -> MCPServer[Any]:
    notes: list[str] = []

    def add(note: str) -> str:
        notes.append(note)
        return ",".join(notes)

    return tool_server(add)


async def names(desk: Desk, environment: Environment) -> list[str]:
    return [tool["name"] for tool in await desk.side.tools(await desk.session(environment))]


async def test_names_are_the_tools_own_unless_two_servers_have_them(desk: Desk) -> None:
    servers = {
        "wiki": PythonServer(server=tool_server(search, read)),
        "web": PythonServer(server=tool_server(other("the web"))),
    }
    environment = Environment(name="e", servers=servers)
    assert await names(desk, environment) == ["wiki_search", "read", "web_search"]
    session = await desk.session(environment)
    assert (await desk.call(session, "web_search", {"query": "tides"})).text == "the web on tides"
    assert (await desk.call(session, "wiki_search", {"query": "tides"})).text == "the wiki on tides"
    (first, second) = desk.recorded(session)
    assert (first.server, first.tool, first.name) == ("web", "search", "web_search")
    assert (second.server, second.seq) == ("wiki", 1)


async def test_a_prefixed_name_that_exists_already_is_made_unique(desk: Desk) -> None:
    servers = {
        "mail": PythonServer(server=tool_server(other("mail"))),
        "web": PythonServer(server=tool_server(other("the web"), mail_search)),
    }
    assert await names(desk, Environment(name="e", servers=servers)) == ["mail_search_2", "web_search", "mail_search"]


async def test_the_order_is_the_same_every_time(desk: Desk, plain: Plain) -> None:
    environment = Environment(name="e", tools=[search, read], servers={"tide": plain(scope="session")})
    first, second = await names(desk, environment), await names(desk, environment)
    assert first == second
    assert first[:2] == ["search", "read"]
    assert first[2:] == sorted(first[2:])


async def test_a_shared_server_is_one_for_all_sessions(desk: Desk) -> None:
    environment = Environment(name="e", servers={"notes": PythonServer(server=notebook)})
    one, two = await desk.session(environment), await desk.session(environment)
    await desk.call(one, "add", {"note": "a"})
    assert (await desk.call(two, "add", {"note": "b"})).text == "a,b"


@pytest.mark.parametrize("kind", ["object", "child"])
async def test_a_sessions_own_server_is_nobody_elses(desk: Desk, plain: Plain, kind: str) -> None:
    server = PythonServer(server=notebook, scope="session") if kind == "object" else plain(scope="session")
    environment = Environment(name="e", servers={"notes": server})
    one, two = await desk.session(environment), await desk.session(environment)
    tool, argument = ("add", "note") if kind == "object" else ("remember", "text")
    for session, words in ((one, "a"), (two, "b"), (one, "c")):
        await desk.call(session, tool, {argument: words}, headers={"mcp-session-id": "the-same"})
    if kind == "child":
        assert [(await desk.call(s, "recall")).text for s in (one, two)] == ["a,c", "b"]
    else:
        assert (await desk.call(two, "add", {"note": "d"})).text == "b,d"


async def test_a_server_of_one_session_that_fails_leaves_no_other_open(desk: Desk, plain: Plain) -> None:
    servers = {"good": plain(scope="session"), "bad": CommandServer(command=["/bin/false"], scope="session")}
    session = await desk.session(Environment(name="e", servers=servers))
    with pytest.raises(ToolServerError, match="'bad'"):
        await desk.side.open(session)


async def test_a_hundred_sessions_at_once_each_keep_to_themselves(desk: Desk) -> None:
    environment = Environment(
        name="e", tools=[search], servers={"notes": PythonServer(server=notebook, scope="session")}
    )
    sessions = [await desk.session(environment) for _ in range(100)]

    async def work(number: int) -> str:
        session = sessions[number]
        await desk.side.open(session)
        await desk.call(session, "add", {"note": f"{number}"})
        await desk.call(session, "search", {"query": "x"})
        said = (await desk.modern(session, "tools/call", {"name": "add", "arguments": {"note": "end"}})).text
        await desk.side.close(session)
        return said

    said = await asyncio.gather(*(work(number) for number in range(100)))
    assert said == [f"{number},end" for number in range(100)]
    recorded = [call for session in sessions for call in desk.recorded(session)]
    assert Counter(call.status for call in recorded) == {"answered": 300}
    assert {call.seq for call in recorded} == {0, 1, 2}


def test_what_cannot_be_a_server_is_said_when_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match="a function that makes a server"):
        PythonServer(server=tool_server(read), scope="session")
    with pytest.raises(ConfigurationError, match="is a list"):
        CommandServer(command="npx server")
    with pytest.raises(ConfigurationError, match="http"):
        UrlServer(url="localhost:8000")
    with pytest.raises(ConfigurationError, match="max_result_bytes"):
        UrlServer(url="http://localhost:8000", max_result_bytes=0)


async def test_an_object_that_is_no_server_is_named(desk: Desk) -> None:
    session = await desk.session(Environment(name="e", servers={"x": PythonServer(server=lambda: 3)}))  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="Tool server 'x' is a int"):
        await desk.side.open(session)


def test_the_tool_side_is_imported_without_the_sdk() -> None:
    program = "import sys, drawbar.tools.endpoint, drawbar.tools.stdio; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
