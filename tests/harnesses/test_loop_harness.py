"""The tool-calling loop: what the model is shown, whatever it asks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from drawbar.testing import Failure, calls, says, together
from drawbar_harnesses.connection import connected, explain
from drawbar_harnesses.loop import LoopHarness
from drawbar_harnesses.tools import Tools, text_of

DeskAt = Callable[..., AbstractAsyncContextManager[Any]]


async def shown(desk_at: DeskAt, reply: Any, **changes: Any) -> list[str]:
    """What the model is told after this reply."""
    async with desk_at([reply, "done"], **changes) as desk:
        outcome = await LoopHarness().run(await desk.assignment())
        assert outcome.stop == "completed"
        last = desk.server.requests[-1].body["messages"]
    return [message["content"] for message in last if message["role"] == "tool"]


async def test_the_result_of_a_tool_goes_back_to_the_model_as_it_is(desk_at: DeskAt) -> None:
    assert await shown(desk_at, calls("weather", town="Ghent")) == ["It rains in Ghent."]


async def test_calls_of_one_reply_run_together_and_answer_in_their_order(desk_at: DeskAt) -> None:
    second_came = anyio.Event()

    async def meet(who: str) -> str:
        """Wait for the other."""
        if who == "first":
            await second_came.wait()
        second_came.set()
        return who

    reply = together(("meet", {"who": "first"}), ("meet", {"who": "second"}))
    assert await shown(desk_at, reply, tools=[meet]) == ["first", "second"]


@pytest.mark.parametrize(
    ("arguments", "said"), [('{"town": ', "must be one JSON object"), ("[1]", "must be one JSON object: this is list")]
)
async def test_arguments_that_are_no_object_are_told_to_the_model(desk_at: DeskAt, arguments: str, said: str) -> None:
    (text,) = await shown(desk_at, together(("weather", arguments)))
    assert said in text


async def test_a_tool_that_there_is_not_is_told_with_the_nearest_name(desk_at: DeskAt) -> None:
    (text,) = await shown(desk_at, calls("wether", town="Ghent"))
    assert text == "Error: there is no tool named 'wether'. Did you mean 'weather'?"


async def test_an_error_of_a_tool_is_words_that_the_model_can_read(desk_at: DeskAt) -> None:
    (text,) = await shown(desk_at, calls("weather", town="nowhere"))
    assert "there is no such town" in text


async def test_one_bad_call_among_good_ones_spoils_none(desk_at: DeskAt) -> None:
    texts = await shown(
        desk_at, together(("weather", {"town": "Ghent"}), ("nothing", {}), ("weather", {"town": "Bath"}))
    )
    assert texts[0] == "It rains in Ghent."
    assert "no tool named 'nothing'" in texts[1]
    assert texts[2] == "It rains in Bath."


async def test_the_record_joins_what_was_called_with_what_the_model_saw(desk_at: DeskAt) -> None:
    async with desk_at([calls("weather", town="Ghent"), "done"]) as desk:
        assignment = await desk.assignment()
        trajectory = await desk.ended(assignment, await LoopHarness().run(assignment))
    (call,) = trajectory.tool_calls
    assert (call.seen, call.tool_use_id is not None) == ("same", True)
    assert not trajectory.health


async def test_reasoning_goes_back_and_fields_that_providers_refuse_do_not(desk_at: DeskAt) -> None:
    reply = {**calls("weather", town="Ghent"), "reasoning_content": "hm", "refusal": None, "annotations": []}
    async with desk_at([reply, "done"]) as desk:
        await LoopHarness().run(await desk.assignment())
        replayed = next(m for m in desk.server.requests[-1].body["messages"] if m["role"] == "assistant")
    assert replayed.keys() == {"role", "content", "tool_calls", "reasoning_content"}
    async with desk_at([reply, "done"]) as desk:
        await LoopHarness(replay_reasoning=False).run(await desk.assignment())
        replayed = next(m for m in desk.server.requests[-1].body["messages"] if m["role"] == "assistant")
    assert replayed.keys() == {"role", "content", "tool_calls"}


async def test_an_environment_without_tools_is_asked_without_tools(desk_at: DeskAt) -> None:
    async with desk_at(["hello"], tools=[]) as desk:
        outcome = await LoopHarness().run(await desk.assignment())
        assert "tools" not in desk.server.requests[0].body
    assert outcome.stop == "completed"


async def test_a_conversation_that_outgrew_the_model_is_a_clean_stop(desk_at: DeskAt) -> None:
    overflow = Failure(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")
    async with desk_at([calls("weather", town="Ghent"), overflow]) as desk:
        assignment = await desk.assignment()
        outcome = await LoopHarness().run(assignment)
        trajectory = await desk.ended(assignment, outcome)
    assert outcome.stop == trajectory.stop == "context_overflow"


async def test_an_answer_that_is_no_completion_is_a_broken_upstream(desk_at: DeskAt) -> None:
    async with desk_at([Failure(200, body=b'{"choices": []}')]) as desk:
        outcome = await LoopHarness().run(await desk.assignment())
    assert outcome.stop == "upstream_broken"


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (409, {"code": "limit_turns", "message": "no more"}, "limit_turns"),
        (429, {"message": "slow down"}, "upstream_rate_limited"),
        (502, {"message": "bad gateway"}, "upstream_unavailable"),
        (400, {"message": "prompt is too long: 9 tokens"}, "context_overflow"),
        (400, {"message": "no such field"}, "upstream_rejected"),
    ],
)
def test_an_error_answer_has_one_cause(status: int, body: dict[str, str], cause: str) -> None:
    assert explain(status, orjson.dumps({"error": body}))[0] == cause


def test_an_error_answer_that_is_not_json_has_one_too() -> None:
    assert explain(502, b"<html>Bad Gateway</html>") == ("upstream_unavailable", "<html>Bad Gateway</html>")


def test_what_is_no_text_in_a_result_is_named() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image", "mimeType": "image/png", "data": "..."}]
    assert text_of(content) == "a\n[image: image/png]"


async def test_a_result_may_come_as_a_stream_after_progress_and_pings() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        number = (await request.json())["id"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
        result = {
            "jsonrpc": "2.0",
            "id": number,
            "result": {"content": [{"type": "text", "text": says("x" * 200_000)["content"]}]},
        }
        await response.write(b": ping\n\ndata: " + orjson.dumps(progress) + b"\n\n")
        await response.write(b"data: " + orjson.dumps(result) + b"\r\n\r\n")
        return response

    application = web.Application()
    application.router.add_post("/mcp", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with connected() as client:
            tools = Tools(client, f"http://127.0.0.1:{runner.addresses[0][1]}/mcp", "key")
            assert await tools.call("anything", {}, "id") == "x" * 200_000
    finally:
        await runner.cleanup()
