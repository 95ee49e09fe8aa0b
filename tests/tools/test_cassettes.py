"""A cassette stands in for a server: what it answers in each mode, and what the record says of it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from drawbar.environment import Environment
from drawbar.errors import ConfigurationError
from drawbar.server import CassetteServer, CommandServer, PythonServer, ToolServer, UrlServer
from drawbar.tools.cassettes.format import read
from drawbar.tools.cassettes.settings import Cassette
from drawbar.tools.pool import listed_tools

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, Serving

READS = ToolAnnotations(read_only_hint=True)


class Shop:
    """Orders that can be refunded: what a read says depends on the writes before it."""

    def __init__(self) -> None:
        self.refunded: list[int] = []
        self.asked = 0

    def server(self) -> MCPServer[Any]:
        server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")
        server.add_tool(self.get_order, annotations=READS, structured_output=False)
        server.add_tool(self.refund, structured_output=False)
        return server

    async def get_order(self, id: float, note: str = "") -> str:
        """Look at an order."""
        self.asked += 1
        return f"order {id:g}: {'refunded' if id in self.refunded else 'paid'}"

    async def refund(self, id: int) -> str:
        """Give the money back."""
        self.asked += 1
        if id in self.refunded:
            raise ValueError("refunded already")
        self.refunded.append(id)
        return f"refunded {id}"


Calls = Sequence[tuple[str, dict[str, Any]]]
VISIT: Calls = [
    ("get_order", {"id": 7}),
    ("refund", {"id": 7}),
    ("get_order", {"id": 7}),
    ("refund", {"id": 7}),
    ("get_order", {"id": 8, "note": "other"}),
]
SAID = ["order 7: paid", "refunded 7", "order 7: refunded", "Error executing tool refund: ValueError: refunded already",
        "order 8: paid"]  # fmt: skip


def bodies(path: Path) -> str:
    """All that a file holds."""
    return path.read_text()


async def visit(desk: Desk, server: ToolServer, calls: Calls = VISIT) -> list[str]:
    """What a new session is told."""
    session = await desk.session(Environment(name="e", servers={"shop": server}))
    said = [(await desk.call(session, tool, arguments)).text for tool, arguments in calls]
    await desk.side.close(session)
    return said


@pytest.fixture
async def tape(desk: Desk, tmp_path: Path) -> Path:
    """The cassette of one visit."""
    path = tmp_path / "shop.jsonl"
    assert await visit(desk, PythonServer(server=Shop().server, scope="session", record=path)) == SAID
    return path


@pytest.mark.parametrize("mode", ["strict", "fifo", "by-arguments", "nearest"])
async def test_what_was_recorded_is_answered_again_without_a_server(desk: Desk, tape: Path, mode: Any) -> None:
    assert await visit(desk, CassetteServer(cassette=Cassette(tape, mode=mode))) == SAID


async def test_a_read_after_a_write_does_not_see_the_world_before_it(desk: Desk, tape: Path) -> None:
    calls = [("refund", {"id": 7}), ("get_order", {"id": 7})]
    assert await visit(desk, CassetteServer(cassette=Cassette(tape)), calls) == ["refunded 7", "order 7: refunded"]


async def test_numbers_compare_as_numbers_and_keys_stand_in_any_order(desk: Desk, tape: Path) -> None:
    calls: Calls = [("get_order", {"id": 7.0}), ("get_order", {"note": "other", "id": 8})]
    assert await visit(desk, CassetteServer(cassette=tape), calls) == ["order 7: paid", "order 8: paid"]


async def test_several_recordings_answer_in_order_and_then_the_last_again(desk: Desk, tmp_path: Path) -> None:
    path, ticks = tmp_path / "clock.jsonl", iter(range(10))
    server: MCPServer[Any] = MCPServer("clock", subscriptions=False, log_level="WARNING")

    async def tick() -> str:
        return str(next(ticks))

    server.add_tool(tick, annotations=READS, structured_output=False)
    calls: Calls = [("tick", {})] * 3
    assert await visit(desk, PythonServer(server=server, record=path), calls) == ["0", "1", "2"]
    assert await visit(desk, CassetteServer(cassette=path), [*calls, *calls]) == ["0", "1", "2", "2", "2", "2"]


async def test_ignored_arguments_do_not_count(desk: Desk, tape: Path) -> None:
    calls = [("get_order", {"id": 7, "note": "at 10:07"})]
    ignoring = Cassette(tape, ignore=["get_*:note"])
    assert await visit(desk, CassetteServer(cassette=ignoring), calls) == ["order 7: paid"]
    said = await visit(desk, CassetteServer(cassette=tape), calls)
    assert "no recorded answer" in said[0]


async def test_strict_refuses_another_order_and_fifo_does_not(desk: Desk, tape: Path) -> None:
    calls = [("refund", {"id": 7}), ("get_order", {"id": 99})]
    strict = await visit(desk, CassetteServer(cassette=Cassette(tape, mode="strict")), calls)
    assert ["no recorded answer" in said for said in strict] == [True, True]
    fifo = await visit(desk, CassetteServer(cassette=Cassette(tape, mode="fifo")), calls)
    assert fifo == ["refunded 7", "order 7: paid"]


async def test_the_nearest_recording_is_marked_in_the_record_and_not_shown(desk: Desk, tape: Path) -> None:
    nearest = CassetteServer(cassette=Cassette(tape, mode="nearest", threshold=0.8))
    session = await desk.session(Environment(name="e", servers={"shop": nearest}))
    reply = await desk.call(session, "get_order", {"id": 8, "note": "others"})
    assert reply.text == "order 8: paid"
    assert "_meta" not in reply.result
    far = await desk.call(session, "get_order", {"id": 800, "note": "xyz"})
    assert "no recorded answer" in far.text
    near, missed = desk.recorded(session)
    assert near.result is not None
    note = near.result["_meta"]["dev.drawbar/cassette"]
    assert (note["how"], note["arguments"]) == ("near", {"id": 8, "note": "other"})
    assert 0.8 <= note["likeness"] < 1
    assert (missed.status, missed.cause) == ("failed", "cassette_missed")


async def test_a_recorded_refusal_and_a_time_out_are_told_again(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "slow.jsonl"
    server: MCPServer[Any] = MCPServer("s", subscriptions=False, log_level="WARNING")

    async def wait() -> str:
        await asyncio.Event().wait()
        return "never"

    server.add_tool(wait, structured_output=False)
    live = await visit(desk, PythonServer(server=server, record=path, timeout=0.05), [("wait", {})])
    session = await desk.session(Environment(name="e", servers={"shop": CassetteServer(cassette=path)}))
    assert [(await desk.call(session, "wait")).text] == live
    assert "did not answer within" in live[0]
    assert [call.cause for call in desk.recorded(session)] == ["tool_timeout"]


async def test_a_child_process_is_recorded_and_replayed_without_one(desk: Desk, tmp_path: Path) -> None:
    path, program = tmp_path / "child.jsonl", Path(__file__).parent / "programs" / "plain_server.py"
    live = CommandServer(command=[sys.executable, str(program)], record=path)
    listed = await listed_tools(Environment(name="e", servers={"shop": live}))
    tool = next(tool["name"] for tool in listed["shop"] if not tool["inputSchema"].get("required"))
    said = await visit(desk, live, [(tool, {})])
    gone = CommandServer(command=["no-such-program"], cassette=path)
    assert await visit(desk, gone, [(tool, {})]) == said


async def test_a_server_at_a_url_is_recorded_and_replayed_without_it(
    desk: Desk, serving: Serving, tmp_path: Path
) -> None:
    path = tmp_path / "url.jsonl"
    async with serving(Shop().server().streamable_http_app()) as url:
        live = UrlServer(url=url + "/mcp", record=path)
        said = await visit(desk, live)
        assert said[:3] == SAID[:3]
        gone = UrlServer(url=url + "/mcp", cassette=path)
    assert await visit(desk, gone) == said


async def test_what_is_missing_falls_through_to_tools_that_only_read(desk: Desk, tape: Path) -> None:
    before, shop = bodies(tape), Shop()
    live = PythonServer(server=shop.server(), cassette=Cassette(tape, mode="fall-through"))
    session = await desk.session(Environment(name="e", servers={"shop": live}))
    calls: Calls = [
        ("get_order", {"id": 7}),
        ("get_order", {"id": 42}),
        ("get_order", {"id": 42}),
        ("refund", {"id": 9}),
    ]
    said = [(await desk.call(session, tool, arguments)).text for tool, arguments in calls]
    assert said[:3] == ["order 7: paid", "order 42: paid", "order 42: paid"]
    assert "'refund'" in said[3]
    assert "not marked as one that only reads" in said[3]
    assert (shop.asked, shop.refunded) == (1, [])
    replayed = desk.side.replayed(session)
    assert replayed is not None
    (drift,) = replayed.metadata["cassettes"]
    assert (drift["hits"], drift["live"], drift["misses"]) == (2, 1, 1)
    assert replayed.cause == "cassette_missed"
    next_one = tape.with_name("shop.g2.jsonl")
    assert drift["written"] == str(next_one)
    assert bodies(tape) == before
    header, recordings = read(next_one)
    assert (header.generation, header.more["parent"]) == (2, {"path": "shop.jsonl", "generation": 1})
    assert len(recordings) == len(VISIT) + 1
    assert await visit(desk, CassetteServer(cassette=next_one), [("get_order", {"id": 42})]) == ["order 42: paid"]


async def test_what_the_live_server_lists_otherwise_is_in_the_drift_report(desk: Desk, tape: Path) -> None:
    server: MCPServer[Any] = MCPServer("shop", subscriptions=False, log_level="WARNING")

    async def get_order(id: str) -> str:
        """Look at an order."""
        return id

    server.add_tool(get_order, annotations=READS, structured_output=False)
    live = PythonServer(server=server, cassette=Cassette(tape, mode="fall-through"))
    session = await desk.session(Environment(name="e", servers={"shop": live}))
    await desk.side.open(session)
    replayed = desk.side.replayed(session)
    assert replayed is not None
    assert replayed.metadata["cassettes"][0]["schema"] == [
        "refund: the live server has it no more",
        "get_order: its arguments changed",
    ]


async def test_sessions_that_share_a_cassette_have_a_position_each(desk: Desk, tape: Path) -> None:
    for mode in ("strict", "fifo", "by-arguments"):
        environment = Environment(name="e", servers={"shop": CassetteServer(cassette=Cassette(tape, mode=mode))})
        sessions = [await desk.session(environment) for _ in range(32)]
        said: dict[str, list[str]] = {session.id: [] for session in sessions}
        for tool, arguments in VISIT:
            replies = await asyncio.gather(*(desk.call(session, tool, arguments) for session in sessions))
            for session, reply in zip(sessions, replies, strict=True):
                said[session.id].append(reply.text)
        assert all(each == SAID for each in said.values())


async def test_what_a_hook_redacts_does_not_reach_the_cassette(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "shop.jsonl"
    desk.recorder.redact_with(lambda body: re.sub(rb"sk-\w+", b"[key]", body))
    calls: Calls = [("get_order", {"id": 7, "note": "sk-secret"})]
    await visit(desk, PythonServer(server=Shop().server(), record=path), calls)
    (recording,) = read(path)[1]
    assert recording.arguments == {"id": 7, "note": "[key]"}
    assert "sk-secret" not in bodies(path)
    assert await visit(desk, CassetteServer(cassette=path), calls) == ["order 7: paid"]  # with the secret asked, too


async def test_servers_of_one_cassette_share_a_world(desk: Desk, tmp_path: Path) -> None:
    path, shop = tmp_path / "both.jsonl", Shop()
    reads, writes = (MCPServer[Any](name, subscriptions=False, log_level="WARNING") for name in ("reads", "writes"))
    reads.add_tool(shop.get_order, annotations=READS, structured_output=False)
    writes.add_tool(shop.refund, structured_output=False)

    async def said(servers: dict[str, ToolServer], calls: Calls) -> list[str]:
        session = await desk.session(Environment(name="e", servers=servers))
        return [(await desk.call(session, tool, arguments)).text for tool, arguments in calls]

    live: dict[str, ToolServer] = {
        "reads": PythonServer(server=reads, record=path),
        "writes": PythonServer(server=writes, record=path),
    }
    assert await said(live, VISIT[:3]) == SAID[:3]
    replayed: dict[str, ToolServer] = {name: CassetteServer(cassette=path) for name in live}
    assert await said(replayed, VISIT[1:3]) == SAID[1:3]


async def test_a_server_that_is_not_in_the_cassette_is_named(desk: Desk, tape: Path) -> None:
    servers = {name: CassetteServer(cassette=tape) for name in ("shop", "bank")}
    session = await desk.session(Environment(name="e", servers=servers))
    with pytest.raises(ConfigurationError, match="holds no calls of server 'bank'; it holds those of: 'shop'"):
        await desk.side.open(session)


async def test_a_cassette_that_cannot_be_written_makes_its_session_invalid(desk: Desk, tape: Path) -> None:
    server = PythonServer(server=Shop().server(), record=tape / "below-a-file.jsonl")
    session = await desk.session(Environment(name="e", servers={"shop": server}))
    assert "cannot be written" in (await desk.call(session, "get_order", {"id": 7})).text
    replayed = desk.side.replayed(session)
    assert replayed is not None
    assert replayed.cause == "recorder_failed"
