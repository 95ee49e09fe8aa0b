"""What the record keeps of a call, and what the agent sees of its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, TextContent

from drawbar.causes import CAUSES
from drawbar.environment import Environment
from drawbar.errors import StoreError
from drawbar.server import PythonServer

if TYPE_CHECKING:
    from tests.tools.conftest import Desk, DeskMaker, Plain

Until = Callable[[Callable[[], object]], Awaitable[None]]


def structured() -> CallToolResult:
    """Text and the same again, and a reward."""
    return CallToolResult(
        content=[TextContent(type="text", text="four")],
        structured_content={"value": 4},
        _meta={"dev.drawbar/reward": 0.5, "com.example/other": 1},
    )


def only_structured() -> CallToolResult:
    return CallToolResult(content=[], structured_content={"value": 4})


def long_text() -> str:
    return "abc" * 1000


def as_server(*functions: Callable[..., Any], **settings: Any) -> PythonServer:
    server: MCPServer[Any] = MCPServer("s", subscriptions=False, log_level="WARNING")
    for function in functions:
        server.add_tool(function)
    return PythonServer(server=server, **settings)


async def test_a_call_is_recorded_with_what_went_both_ways(desk: Desk) -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    session = await desk.session(Environment(name="sums", tools=[add]))
    params = {"name": "add", "arguments": {"a": 2, "b": 3}, "_meta": {"callId": "c1"}}
    assert (await desk.ask(session, "tools/call", params)).text == "5"
    (call,) = desk.recorded(session)
    assert (call.server, call.tool, call.name, call.seq) == ("sums", "add", "add", 0)
    assert call.arguments == {"a": 2, "b": 3}
    assert call.text == "5"
    assert call.status == "answered"
    assert call.ended is not None
    assert call.started <= call.ended


async def test_the_intent_is_in_the_record_while_the_call_runs(desk: Desk, until: Until) -> None:
    goes_on = asyncio.Event()

    async def slow() -> str:
        await goes_on.wait()
        return "done"

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = asyncio.create_task(desk.call(session, "slow"))
    await until(lambda: desk.recorded(session))
    assert [call.status for call in desk.recorded(session)] == ["started"]
    goes_on.set()
    assert (await running).text == "done"
    assert [call.status for call in desk.recorded(session)] == ["answered"]


async def test_agents_see_the_text_alone_and_the_record_keeps_everything(desk: Desk) -> None:
    session = await desk.session(Environment(name="e", servers={"s": as_server(structured)}))
    shown = (await desk.call(session, "structured")).result
    assert shown["content"] == [{"type": "text", "text": "four"}]
    assert "structuredContent" not in shown
    assert shown["_meta"] == {"com.example/other": 1}
    (call,) = desk.recorded(session)
    assert call.result is not None
    assert call.result["structuredContent"] == {"value": 4}
    assert call.result["_meta"]["dev.drawbar/reward"] == 0.5
    assert call.shown == shown


async def test_as_is_shows_what_the_server_said_but_the_reward(desk: Desk) -> None:
    def typed() -> int:
        return 4

    servers = {"s": as_server(structured, typed)}
    session = await desk.session(Environment(name="e", servers=servers, observation="as-is"))
    shown = (await desk.call(session, "structured")).result
    assert shown["structuredContent"] == {"value": 4}
    assert shown["_meta"] == {"com.example/other": 1}
    assert any("outputSchema" in tool for tool in (await desk.ask(session, "tools/list")).result["tools"])


async def test_text_takes_output_schemas_out_of_the_list(desk: Desk) -> None:
    def typed() -> int:
        return 4

    session = await desk.session(Environment(name="e", servers={"s": as_server(typed)}))
    (tool,) = (await desk.ask(session, "tools/list")).result["tools"]
    assert "outputSchema" not in tool


async def test_a_result_without_text_is_shown_as_its_json(desk: Desk) -> None:
    session = await desk.session(Environment(name="e", servers={"s": as_server(only_structured)}))
    assert (await desk.call(session, "only_structured")).text == '{"value":4}'


async def test_a_result_over_the_cap_is_cut_and_says_so_to_both(desk: Desk) -> None:
    servers = {"s": as_server(long_text, max_result_bytes=500)}
    session = await desk.session(Environment(name="e", servers=servers))
    reply = await desk.call(session, "long_text")
    assert reply.text.startswith("abcabc")
    assert "The gateway cut this result" in reply.text
    assert len(reply.body) < 1000
    (call,) = desk.recorded(session)
    assert call.result is not None
    assert call.result["_meta"]["dev.drawbar/cut"]["bytes"] > 3000
    assert "cut" not in call.result["content"][0]["text"]


async def test_a_large_result_of_an_odd_shape_is_cut_too(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"s": plain(max_result_bytes=500)}))
    reply = await desk.call(session, "odd")
    assert "The gateway cut this result: it had 300," in reply.text
    assert (reply.result["isError"], len(reply.body) < 1000) == (True, True)
    (call,) = desk.recorded(session)
    assert len(repr(call)) < 2000


async def test_half_an_emoji_reaches_neither_side_and_harms_nothing(desk: Desk, plain: Plain) -> None:
    session = await desk.session(Environment(name="e", servers={"s": plain(timeout=5)}))
    params = rb'{"name":"halves","arguments":{"text":"cut \ud83d"}}'
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}"
    assert (await desk.post(session, body)).text == "cut \ufffd and \ufffd"
    (call,) = desk.recorded(session)
    assert (call.arguments, call.text) == ({"text": "cut \ufffd"}, "cut \ufffd and \ufffd")


async def test_what_an_agent_says_in_our_name_does_not_reach_the_server(desk: Desk) -> None:
    async def meta(ctx: Context[Any, Any]) -> str:
        return str(sorted((ctx.request_context.meta or {}).items()))

    session = await desk.session(Environment(name="e", tools=[meta]))
    given = {"dev.drawbar/session": "another", "dev.drawbar/reward": 1, "progressToken": 3, "traceparent": "00-1"}
    reply = await desk.ask(session, "tools/call", {"name": "meta", "arguments": {}, "_meta": given})
    assert reply.text == str([("dev.drawbar/session", session.id), ("traceparent", "00-1")])


async def test_a_tool_that_takes_too_long_is_given_up_and_the_model_is_told(desk: Desk) -> None:
    async def sleep() -> None:
        await asyncio.Event().wait()

    session = await desk.session(Environment(name="e", servers={"s": as_server(sleep, timeout=0.05)}))
    reply = await desk.call(session, "sleep")
    assert reply.result["isError"]
    assert "did not answer within 0.05 s" in reply.text
    (call,) = desk.recorded(session)
    assert (call.status, call.cause) == ("failed", "tool_timeout")
    assert call.cause in CAUSES


async def test_a_thread_that_hangs_does_not_hold_up_the_answer(desk: Desk) -> None:
    import threading

    release = threading.Event()

    def hang() -> str:
        release.wait(10)
        return "late"

    session = await desk.session(Environment(name="e", servers={"s": as_server(hang, timeout=0.05)}))
    try:
        assert "did not answer" in (await desk.call(session, "hang")).text
    finally:
        release.set()


async def test_progress_turns_the_answer_into_a_stream(desk: Desk) -> None:
    async def walk(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.report_progress(2, 2)
        return "there"

    session = await desk.session(Environment(name="e", tools=[walk]))
    params = {"name": "walk", "arguments": {}, "_meta": {"progressToken": "t"}}
    reply = await desk.ask(session, "tools/call", params)
    assert reply.headers["content-type"] == "text/event-stream"
    assert [event["method"] for event in reply.events[:-1]] == ["notifications/progress"] * 2
    assert reply.events[0]["params"] == {"progressToken": "t", "progress": 1.0, "total": 2.0, "message": "half"}
    assert reply.text == "there"
    unasked = await desk.ask(session, "tools/call", {"name": "walk", "arguments": {}})
    assert unasked.headers["content-type"] == "application/json"


async def test_a_client_that_takes_no_stream_gets_none(desk: Desk) -> None:
    async def walk(ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1)
        return "there"

    session = await desk.session(Environment(name="e", tools=[walk]))
    params = {"name": "walk", "arguments": {}, "_meta": {"progressToken": 1}}
    reply = await desk.ask(session, "tools/call", params, headers={"accept": "application/json"})
    assert reply.headers["content-type"] == "application/json"


async def test_a_silent_call_is_kept_alive_by_pings(desks: DeskMaker) -> None:
    goes_on = asyncio.Event()

    async def slow() -> str:
        await goes_on.wait()
        return "done"

    async with desks(ping=0.01) as desk:
        session = await desk.session(Environment(name="e", tools=[slow]))
        began = asyncio.Event()
        running = asyncio.create_task(desk.call(session, "slow", began=began))
        await began.wait()
        goes_on.set()
        reply = await running
        assert reply.body.startswith(b": ping\n\n")
        assert reply.text == "done"


async def test_a_modern_client_that_leaves_cancels_its_call(desk: Desk) -> None:
    cancelled = asyncio.Event()
    leave = asyncio.Event()

    async def slow() -> None:
        leave.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    session = await desk.session(Environment(name="e", tools=[slow]))
    await desk.modern(session, "tools/call", {"name": "slow", "arguments": {}}, leave=leave)
    await cancelled.wait()
    (call,) = desk.recorded(session)
    assert call.status == "cancelled"


async def test_a_handshake_client_that_leaves_does_not(desk: Desk) -> None:
    leave, left = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        leave.set()
        await asyncio.wait_for(left.wait(), 10)
        return "done all the same"

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = asyncio.create_task(desk.call(session, "slow", leave=leave))
    await leave.wait()
    left.set()
    await running
    (call,) = desk.recorded(session)
    assert (call.status, call.text) == ("answered", "done all the same")


async def test_a_handshake_client_can_cancel_by_notification(desk: Desk) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.Event().wait()

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = asyncio.create_task(desk.call(session, "slow"))
    await began.wait()
    say = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    await desk.post(session, say)
    await running
    assert [call.status for call in desk.recorded(session)] == ["cancelled"]


async def test_a_cancellation_that_could_mean_two_calls_means_none(desk: Desk) -> None:
    began, goes_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> str:
        began.release()
        await goes_on.wait()
        return "done"

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = [asyncio.create_task(desk.call(session, "slow")) for _ in range(2)]
    for _ in running:
        await began.acquire()
    await desk.post(session, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    goes_on.set()
    assert [(await each).text for each in running] == ["done", "done"]


async def test_a_call_that_the_gateways_end_cuts_off_is_recorded_as_cancelled(desk: Desk) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.Event().wait()

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = asyncio.create_task(desk.call(session, "slow"))
    await began.wait()
    running.cancel()
    await asyncio.wait((running,))
    assert [call.status for call in desk.recorded(session)] == ["cancelled"]


async def test_closing_a_session_cancels_what_it_still_runs(desk: Desk) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.Event().wait()

    session = await desk.session(Environment(name="e", tools=[slow]))
    running = asyncio.create_task(desk.call(session, "slow"))
    await began.wait()
    await desk.side.close(session)
    await running
    assert [call.status for call in desk.recorded(session)] == ["cancelled"]


class _BrokenRecorder:
    async def post(self, *rows: object) -> None:
        raise StoreError("the queue is full and the disk too")

    async def commit(self, *rows: object) -> None:
        raise StoreError("the disk is full")

    def redacted(self, body: bytes) -> bytes:
        return body


async def test_a_call_that_cannot_be_recorded_fails_unless_that_is_allowed(desk: Desk) -> None:
    from drawbar.tools.endpoint import ToolSide

    def hello() -> str:
        return "hello"

    session = await desk.session(Environment(name="e", tools=[hello]))
    for strict in (True, False):
        async with ToolSide(_BrokenRecorder(), strict=strict) as side:  # type: ignore[arg-type]
            desk.side = side
            reply = await desk.call(session, "hello")
            if strict:
                assert "could not be recorded" in reply.json["error"]["message"]
                assert "disk" not in reply.json["error"]["message"]
            else:
                assert reply.text == "hello"
